"""Verifies a database: its journal row by row, and each row of its tables beside what the journal makes of it.

Promises: all is read in one snapshot, with what was archived. An entity that has ended is compared when its last
transition is read and then forgotten, so memory follows from what lives. What was in doubt already is not compared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter

from interlock.engine.core.chronicle import same
from interlock.engine.core.lines import Root
from interlock.engine.core.verify import Finding, Verifier
from interlock.engine.store import queries
from interlock.engine.store.snapshot import Snapshot
from interlock.engine.store.store import Store
from interlock.replay.archives import all_pages
from interlock.replay.source import PAGE
from interlock.replay.verify import MOST, Verified
from interlock.schema.cloud import PLACES
from interlock.schema.errors import StoreError
from interlock.schema.records import Entity
from interlock.schema.transition import CLOUD

TABLE = "table"
"""The flaw of a row of a table that is not what the journal makes of it."""
ARCHIVE = "archive"
"""The flaw of an archive that is missing, or not the one that was written."""
_AT_ONCE = 500
"""Rows compared with one read. Too few: many reads; too many: a statement with more ids than a database takes."""


async def verify_database(store: Store) -> Verified:
    """Verify a database.

    Raises:
        StoreError: it cannot be read now.
    """
    async with store.snapshot() as snapshot:
        checked = _Checked(snapshot)
        findings: list[Finding] = []
        async for each in checked.all():
            if len(findings) == MOST:
                return checked.verified(findings, more=True)
            findings.append(each)
        return checked.verified(findings, more=False)


class _Checked:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._verifier = Verifier(keeps_over=True)
        self._root = Root()
        self._count = 0

    def verified(self, findings: list[Finding], *, more: bool) -> Verified:
        head = self._verifier.rebuild.head
        return Verified(count=self._count, head=head, root=str(self._root), findings=findings, more=more)

    async def all(self) -> AsyncIterator[Finding]:
        try:
            async for finding in self._journal():
                yield finding
        except StoreError as error:  # an archive: without its rows all else would be accused
            yield Finding(flaw=ARCHIVE, reason=str(error))
            return
        async for finding in self._tables():
            yield finding

    async def _tables(self) -> AsyncIterator[Finding]:
        for machine, living in self._verifier.rebuild.records.items():
            for some in _batches(list(living.values())):
                for finding in await self._compared(machine, some):
                    yield finding
        for machine in self._verifier.rebuild.records:
            async for finding in self._unknown(machine):
                yield finding
        if CLOUD not in self._verifier.doubtful:
            for name in PLACES:
                for finding in await self._places(name):
                    yield finding

    async def _journal(self) -> AsyncIterator[Finding]:
        async for page in all_pages(self._snapshot):
            for row in page:
                for finding in self._verifier.add(row):
                    yield finding
            self._root.add(page)
            self._count += len(page)
            for finding in await self._ended():
                yield finding

    async def _ended(self) -> list[Finding]:
        over, found = sorted(self._verifier.over, key=itemgetter(0)), []
        self._verifier.over.clear()
        for machine, some in groupby(over, key=itemgetter(0)):
            for batch in _batches([record for _, record in some]):
                found += await self._compared(machine, batch)
        return found

    async def _compared(self, machine: str, records: Sequence[Entity]) -> list[Finding]:
        ids = [record.id for record in records]
        rows = await self._snapshot.records(machine, queries.entities(machine, ids))
        there: dict[str, Entity | None] = {row.id: row for row in rows}
        gone = [each for each in ids if each not in there]
        here = {row[0] for row in await self._snapshot.rows(queries.in_journal(gone))} if gone else set()
        return [
            found
            for record in records
            if record.id in there or record.id in here  # else it was archived with its transitions
            if (found := _difference(machine, record, there.get(record.id)))
        ]

    async def _places(self, name: str) -> list[Finding]:
        """Places of a table that are not as the cloud's transitions tell; what is held of them is counted elsewhere."""
        there = {place.id: place for place in await self._snapshot.places(name)}
        told = self._verifier.rebuild.places[name]
        return [
            _at(name, each, f"table {name} does not have it as the journal tells it")
            for each in sorted(there.keys() | told.keys())
            if each not in there or each not in told or not same(name, told[each], there[each])
        ]

    async def _unknown(self, machine: str) -> AsyncIterator[Finding]:
        """Rows of a table that the journal does not know."""
        last, verifier = "", self._verifier
        while ids := [row[0] for row in await self._snapshot.rows(queries.ids_after(machine, last, PAGE))]:
            for each in ids:
                known = each in verifier.rebuild.records[machine] or each in verifier.ended
                if not known and each not in verifier.doubtful:
                    yield _at(machine, each, f"table {machine} has a row that no transition made")
            last = ids[-1]


def _difference(machine: str, record: Entity, row: Entity | None) -> Finding | None:
    if row is None:
        return _at(machine, record.id, f"the journal makes it, but table {machine} has no such row")
    if row == record:
        return None
    names = [name for name in record.__struct_fields__ if getattr(row, name) != getattr(record, name)]
    first = names[0]
    said = f"{first} is {getattr(row, first)!r} in table {machine}, the journal makes it {getattr(record, first)!r}"
    return _at(machine, record.id, said + (f"; so differ {', '.join(names[1:])}" if names[1:] else ""))


def _at(machine: str, entity_id: str, reason: str) -> Finding:
    return Finding(flaw=TABLE, reason=reason, machine=machine, entity_id=entity_id)


def _batches(records: Sequence[Entity]) -> Iterator[list[Entity]]:
    rest = iter(records)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
