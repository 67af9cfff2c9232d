"""What goes with a command: its token and its fence."""

from __future__ import annotations

from typing import NamedTuple


class Seal(NamedTuple):
    """Of one command."""

    token: str
    fence: int
