"""What `engine.check()` and `interlock doctor` look for: facts that must hold, asked of the database itself."""

from __future__ import annotations

import msgspec

from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.schema.holdings import COUNTERS


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not be, and what to do about it."""

    code: str
    message: str
    remedy: str


async def checkup(store: Store) -> list[Finding]:
    """All findings; none is what one hopes for."""
    return [*await _counters(store), *await _abandoned(store), *await _stuck(store)]


async def _counters(store: Store) -> list[Finding]:
    return [
        Finding(
            code="ledger",
            message=f"{kind} {place_id}: {used} says {counted}, held are {held}",
            remedy="somebody wrote past the triggers; restore from a backup, or report it as a bug",
        )
        for kind, columns in COUNTERS.items()
        for used in columns
        for place_id, counted, held in await store.rows(queries.recount(kind, used))
    ]


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
