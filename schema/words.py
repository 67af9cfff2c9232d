"""Text that came from elsewhere, made fit to be kept: plug-ins and systems say what they like."""

from __future__ import annotations

LONGEST = 2000
"""Characters kept of a foreign text. Too few: the cause is cut off; too many: one stack trace fills the journal."""


def clean(text: object) -> str:
    """The text in characters that every database takes, and not longer than anybody reads."""
    said = str(text).encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    return said if len(said) <= LONGEST else said[:LONGEST] + " …"
