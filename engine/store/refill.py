"""Fills an empty database from a journal alone: its tables are then those of the database that the journal is of.

Promises: all or nothing, in one transaction. Each row is checked against all before it (`Rebuild`); one that cannot
follow leaves the database as empty as it was. Rows of the journal are written as they are, byte for byte. Counters and
memberships are kept by the same triggers that kept them there. A page of rows is in memory at a time, and the records.

The refusing guards are off meanwhile, in this transaction and for nobody else: they ask of each single move what
`Rebuild` asks, and interlocks of entities in the order of their commits, which a journal does not tell. Keys,
references and capacities are checked as always.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from interlock.engine.core.chronicle import Places
from interlock.engine.core.rebuild import JournalBroken, Rebuild
from interlock.engine.store.joined import transaction
from interlock.engine.store.statements import ENTITY_TABLES
from interlock.engine.store.store import Store
from interlock.schema import guards
from interlock.schema.cloud import PLACES, Domain
from interlock.schema.errors import InvalidRequest
from interlock.schema.rows import as_rows, columns_of
from interlock.schema.tables import metadata
from interlock.schema.tables.derived import MEMBERSHIPS
from interlock.schema.transition import Transition

NOT_TOLD: Mapping[str, str] = {
    "driver": "how this installation reaches its machines, with passwords perhaps; a journal is handed around",
    "worker": "which engines are open now; an engine that opens the new database writes its own row",
    "claim": "which worker was about to begin what; whoever opens the new database takes it",
    "guard": "which triggers are installed; the release that makes the database writes it",
    "archive": "where rows of the old database went; the new one holds them all itself",
    "archiving": "whose rows are leaving just now",
    "interlock_version": "which migration the database is at; the release that makes it writes it",
}
"""The tables that no journal tells of, and why. All others are filled."""

FOLLOWING: Mapping[str, str] = {
    **dict.fromkeys(MEMBERSHIPS, "kept by triggers, from what VMs list"),
    "domain_above": "follows from the domains",
    "vm_tally": "kept by triggers, from the states of VMs",
}
"""The tables that are filled though the journal does not name them, and from what. So are counters, by triggers."""

AT_ONCE = 1000
"""Rows in one statement. Too few: a statement's cost for each; too many: memory."""

DROPS_A_REFUSAL = "DROP TRIGGER guard_"
"""How the statements begin that drop what refuses, and not what keeps counters and memberships."""


async def refill(store: Store, pages: AsyncIterator[Sequence[Transition]]) -> Rebuild:
    """Fill a database with what a journal tells.

    Args:
        store: a database in which nothing has been written yet.
        pages: the journal from its first row, in order.

    Returns:
        what is in the tables now; `head` is the number of rows.

    Raises:
        InvalidRequest: the database is not empty, or a row cannot follow those before it; nothing was written.
        StoreError: the database cannot be written now; nothing was.
    """
    rebuilt = Rebuild()
    async with transaction(store.engine) as connection:
        await connection.run_sync(_begin)
        try:
            async for page in pages:
                for row in page:
                    rebuilt.add(row)
                await connection.run_sync(_insert, "journal", map(msgspec.structs.asdict, page))
            await connection.run_sync(_fill, rebuilt)
        except JournalBroken as broken:
            raise InvalidRequest(f"the journal is broken, and nothing was written: {broken}") from broken
        except IntegrityError as error:
            raise InvalidRequest(
                f"the journal tells what no database of ours can hold, and nothing was written: {error.orig}"
            ) from error
        await connection.run_sync(_end)
    return rebuilt


def _begin(connection: Connection) -> None:
    """Have the guards let pass what the journal tells.

    Raises:
        InvalidRequest: something is there.
    """
    for name in ("journal", *ENTITY_TABLES, *PLACES):
        table = metadata.tables[name]
        if connection.execute(select(table.c[table.primary_key.columns.keys()[0]]).limit(1)).first() is not None:
            raise InvalidRequest(f"the database is not empty: it has rows of {name}; name one that is new")
    dialect = connection.dialect.name
    if dialect == "postgresql":
        # A source that is read slowly lets the transaction stand still, and nobody waits for it.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    for statement in connection.exec_driver_sql(guards.earlier(dialect)).scalars().all():
        if statement.startswith(DROPS_A_REFUSAL):
            connection.exec_driver_sql(statement)


def _end(connection: Connection) -> None:
    """All guards are there again."""
    dialect = connection.dialect.name
    for statement in connection.exec_driver_sql(guards.earlier(dialect)).scalars().all():
        connection.exec_driver_sql(statement)
    for statement in guards.statements(dialect):
        connection.exec_driver_sql(statement)


def _fill(connection: Connection, rebuilt: Rebuild) -> None:
    """Those that others refer to first."""
    domains = cast("dict[str, Domain]", rebuilt.places["domain"])
    shallow = sorted(domains.values(), key=lambda each: len(list(_above(each, domains))))
    places: Places = {**rebuilt.places, "domain": {each.id: each for each in shallow}}
    for name in PLACES:
        _insert(connection, name, as_rows(name, places[name].values()))
    _insert(connection, "domain_above", _closure(domains))
    for name in ENTITY_TABLES:
        records = rebuilt.records[name].values()
        names = tuple(metadata.tables[name].c.keys())
        _insert(connection, name, (dict(zip(names, columns_of(each, names), strict=True)) for each in records))


def _insert(connection: Connection, name: str, rows: Iterable[dict[str, Any]]) -> None:
    statement, rest = insert(metadata.tables[name]), iter(rows)
    while some := list(islice(rest, AT_ONCE)):
        connection.execute(statement, some)


def _closure(domains: Mapping[str, Domain]) -> Iterator[dict[str, Any]]:
    for domain in domains.values():
        for above in _above(domain, domains):
            yield {"domain_id": domain.id, "above_id": above}


def _above(domain: Domain, known: Mapping[str, Domain]) -> Iterator[str]:
    """A domain and all it lies in."""
    seen: set[str] = set()
    found: Domain | None = domain
    while found is not None and found.id not in seen:
        seen.add(found.id)
        yield found.id
        found = known.get(found.parent_id or "")
