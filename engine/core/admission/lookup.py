"""Look-up by name: what a request names is there, and may be used at all.

Promises: a refusal lists what there is instead. Never asks whose it is: see `owner.py` and the subjects.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar

from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import PLACES, DiskOffering, Network, Offering, Place, Template
from interlock.schema.errors import InvalidRequest, NotFound

P = TypeVar("P", bound=Place)

LISTED = 10
"""How many existing names a message shows. Too few: no help; too many: the reason is lost among them."""
_WORDS: dict[type[Any], str] = {kind: name.replace("_", " ") for name, kind in PLACES.items()}


def word(kind: type[Any]) -> str:
    """A kind of place, as people say it."""
    return _WORDS[kind]


def listed(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    first = list(islice(names, LISTED + 1))
    return ", ".join(first[:LISTED]) + (", …" if len(first) > LISTED else "") or "none"


def existing(cloud: Cloud, kind: type[P], place_id: str) -> P:
    """The place exists.

    Raises:
        NotFound: it does not.
    """
    place = cloud.find(kind, place_id)
    if place is None:
        raise NotFound(f"there is no {word(kind)} {place_id!r}; there are: {listed(cloud.ids(kind))}")
    return place


def existing_of(cloud: Cloud, kind: type[P], name: str, account_id: str) -> P:
    """The account's thing of that name exists: its id is `<account>/<name>`, or what was named is an id already.

    Raises:
        NotFound: it does not; what others have is not listed.
    """
    place = cloud.find(kind, f"{account_id}/{name}") or cloud.find(kind, name)
    if place is None:
        own = (each.id for each in cloud.all(kind) if getattr(each, "account_id", None) == account_id)
        raise NotFound(f"there is no {word(kind)} {name!r}; account {account_id} has: {listed(own)}")
    return place


def must_be_enabled(place: Offering | DiskOffering | Template | Network) -> None:
    """It is enabled."""
    if not place.enabled:
        what = f"{word(type(place))} {place.id}"
        raise InvalidRequest(f"{what} is disabled; choose another, or have an administrator enable it")
