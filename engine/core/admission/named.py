"""What a request names exists: one look-up for all kinds of places, with one manner of refusal."""

from __future__ import annotations

from typing import TypeVar

from interlock.engine.core.draft import Draft
from interlock.schema.cloud import Place
from interlock.schema.errors import NotFound

P = TypeVar("P", bound=Place)

LISTED = 10
"""How many existing names a message shows. Too few: no help; too many: the reason is lost among them."""


def existing(draft: Draft, kind: type[P], place_id: str, word: str | None = None) -> P:
    """The place of that name.

    Args:
        draft: with the cloud.
        kind: what it must be.
        place_id: its name.
        word: what people call its kind, if not by the type's name.

    Raises:
        NotFound: there is none; the message lists what there is.
    """
    place = draft.cloud.find(kind, place_id)
    if place is None:
        known = draft.cloud.ids(kind)
        listed = ", ".join(known[:LISTED]) + (", …" if len(known) > LISTED else "")
        raise NotFound(f"there is no {word or kind.__name__.lower()} {place_id!r}; there are: {listed or 'none'}")
    return place
