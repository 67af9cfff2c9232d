"""What `engine.check()` and `interlock doctor` look for: facts that must hold, asked of the database itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from interlock.engine.core.chronicle import same
from interlock.engine.core.rebuild import JournalBroken
from interlock.engine.store import queries, tallies
from interlock.engine.store.store import Store
from interlock.schema.cloud import PLACES, Place
from interlock.schema.holdings import COUNTERS
from interlock.schema.rows import DESCRIBED

WRITTEN_PAST = "somebody wrote past the triggers; restore from a backup, or report it as a bug"
"""The remedy where triggers keep a count, and it is off."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not be, and what to do about it."""

    code: str
    message: str
    remedy: str


async def checkup(store: Store) -> list[Finding]:
    """All findings; none is what one hopes for."""
    return [
        *await _counters(store),
        *await _tallies(store),
        *await _cloud(store),
        *await _abandoned(store),
        *await _stuck(store),
    ]


async def _counters(store: Store) -> list[Finding]:
    return [
        Finding(
            code="ledger",
            message=f"{kind} {place_id}: {used} says {counted}, held are {held}",
            remedy=WRITTEN_PAST,
        )
        for kind, columns in COUNTERS.items()
        for used in columns
        for place_id, counted, held in await store.rows(queries.recount(kind, used))
    ]


async def _tallies(store: Store) -> list[Finding]:
    return [
        Finding(
            code="tally",
            message=f"{scope} {place_id}: of its VMs {abs(off)} too {'many' if off > 0 else 'few'} count as {state}",
            remedy=WRITTEN_PAST,
        )
        for scope, place_id, state, off in await store.rows(tallies.miscounted())
    ]


async def _cloud(store: Store) -> list[Finding]:
    """Places that are otherwise than the journal tells: somebody wrote them by hand."""
    try:
        told, there = await store.described()
    except JournalBroken as broken:
        remedy = "somebody wrote past the triggers; restore from a backup"
        return [Finding(code="journal", message=str(broken), remedy=remedy)]
    return [
        Finding(
            code="cloud",
            message=f"{kind} {place_id}: {wrong}",
            remedy="somebody wrote it by hand: put it back so, then load the change as a description, or set it",
        )
        for kind in PLACES
        for place_id, wrong in _untold(kind, told[kind], {place.id: place for place in there[kind]})
    ]


def _untold(kind: str, told: Mapping[str, Place], there: Mapping[str, Place]) -> Iterator[tuple[str, str]]:
    for place_id in sorted(told.keys() | there.keys()):
        if place_id not in told:
            yield place_id, "the journal does not tell of it"
        elif place_id not in there:
            yield place_id, "the journal tells of it, and it is not there"
        elif not same(kind, told[place_id], there[place_id]):
            old, new = told[place_id], there[place_id]
            columns = (name for name in DESCRIBED[kind] if getattr(old, name) != getattr(new, name))
            said = (f"{name} is {getattr(new, name)}, the journal tells {getattr(old, name)}" for name in columns)
            yield place_id, "; ".join(said)


async def _abandoned(store: Store) -> list[Finding]:
    return [
        Finding(
            code="unowned",
            message=f"VM {name} ({vm_id}) is {state} and no operation drives it",
            remedy="report this as a bug, with `interlock history`",
        )
        for vm_id, name, state in await store.rows(queries.unowned())
    ]


async def _stuck(store: Store) -> list[Finding]:
    return [
        Finding(code="stuck", message=f"operation {each.id} ({each.kind}): {each.error}", remedy="resolve it")
        for each in await store.operations(queries.stuck())
    ]
