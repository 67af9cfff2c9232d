"""A state machine in every form it is shown in. Import from here; the modules behind may change.

Promises: all forms show the same states and the same transitions (`tests/test_pictures.py` reads them back
out), and each is a pure function: the same machine gives the same text, byte for byte.
"""

from __future__ import annotations

from interlock.pictures.document import as_json
from interlock.pictures.svg import as_svg
from interlock.pictures.text import as_dot, as_mermaid, as_rows

__all__ = ["as_dot", "as_json", "as_mermaid", "as_rows", "as_svg"]
