"""What must hold of every database at every moment, asked of its rows with bare SQL.

The journal is complete (no gaps, each entity's rows a chain of versions, states and hashes), the entities are where
their last rows say, with the attributes that the rows tell, what is counted as held is what is held, and the places
are as the rows of the cloud tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from interlock.engine.core.chronicle import Chain, Places, end_of, follow, same
from interlock.engine.core.decision import DERIVED, seal
from interlock.schema.cloud import PLACES
from interlock.schema.holdings import FREE, LIMITS, METERED, UNIQUE, Limited, Metered
from interlock.schema.machine import CREATED, NOT_YET
from interlock.schema.machines import MACHINES, TABLE_VERSION
from interlock.schema.records import RECORDS
from interlock.schema.rows import reader, row_of, text_of
from interlock.schema.tables import metadata
from interlock.schema.transition import CLOUD, Entry, Transition
from tests.bare import Bare

Row = dict[str, Any]


async def assert_sound(database: Bare) -> Sequence[Transition]:
    """All of it; returns the journal."""
    journal = [Transition(**row) for row in await _table(database, "journal", "seq")]
    assert [row.seq for row in journal] == list(range(1, len(journal) + 1))
    await _assert_described(database, journal)
    entities = {machine: await _table(database, machine, "id") for machine in MACHINES}
    chains: dict[str, list[Transition]] = {}
    for row in journal:
        if row.machine == CLOUD:
            continue
        chains.setdefault(row.entity_id, []).append(row)
    assert sorted(chains) == sorted(entity["id"] for rows in entities.values() for entity in rows)
    for machine, rows in entities.items():
        for entity in rows:
            _assert_chain(chains[entity["id"]], machine)
            _assert_told(entity, chains[entity["id"]], machine)
    await assert_counted(database)
    _assert_owned(journal, entities)
    return journal


async def _assert_described(database: Bare, journal: Sequence[Transition]) -> None:
    """The tables of places are what the rows of the cloud tell, but for the counters."""
    told: Places = {name: {} for name in PLACES}
    end = Chain()
    for row in journal:
        if row.machine == CLOUD:
            assert (row.prev, row.version, seal(row)) == (end.hash, end.version + 1, row.hash)
            follow(row, end, told)
            end = end_of(row)
    for name, kind in PLACES.items():
        places = [reader(kind)(tuple(row.values())) for row in await _table(database, name, "id")]
        assert told[name].keys() == {place.id for place in places}
        assert all(same(name, told[name][place.id], place) for place in places)


async def _table(database: Bare, name: str, key: str) -> list[Row]:
    columns = metadata.tables[name].c.keys()
    rows = await database.rows(f"SELECT {', '.join(columns_quoted(columns))} FROM {name} ORDER BY {key}")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def columns_quoted(columns: Iterable[str]) -> list[str]:
    """Column names as SQL: some of ours are words of the language."""
    return [f'"{column}"' for column in columns]


def _assert_chain(chain: list[Transition], machine: str) -> None:
    """Versions, states and hashes follow one another, along the table."""
    first = chain[0]
    assert (first.source, first.event, first.destination) == (NOT_YET, CREATED, MACHINES[machine].initial)
    assert (first.prev, [row.version for row in chain]) == ("", list(range(1, len(chain) + 1)))
    for before, after in pairwise(chain):
        assert (after.source, after.prev) == (before.destination, before.hash)
        assert MACHINES[machine].destination(after.source, after.event) == after.destination
    for row in chain:
        entry = Entry(**{field: getattr(row, field) for field in Entry.__struct_fields__})
        assert seal(entry) == row.hash
        assert (row.machine, row.tables) == (machine, TABLE_VERSION)


def _assert_told(entity: Row, chain: list[Transition], machine: str) -> None:
    """The row is what the journal tells of it."""
    told: Row = {}
    since = chain[0].at
    for row in chain:
        told |= row.changed
        since = row.at if row.source != row.destination else since
    last = chain[-1]
    columns = {name for name in entity if name not in DERIVED}
    assert set(told) == columns
    record = reader(RECORDS[machine])(tuple(entity.values()))
    for name in columns:
        assert text_of(getattr(record, name)) == text_of(told[name]), name
    assert row_of(record) == tuple(_as_written(record, entity))
    assert (entity["state"], entity["version"], entity["hash"]) == (last.destination, len(chain), last.hash)
    assert (entity["created_at"], entity["since"]) == (chain[0].at, since)


def _as_written(record: msgspec.Struct, entity: Row) -> Iterable[Any]:
    """The row, with SQLite's numbers for booleans taken back."""
    for name, value in entity.items():
        yield bool(value) if isinstance(getattr(record, name), bool) else value


async def assert_counted(database: Bare) -> None:
    """`used` is the sum of what is held: several rules may fill one counter."""
    entities = {machine: await _table(database, machine, "id") for machine in MACHINES}
    held: dict[tuple[str, str], Counter[str]] = {}
    for rule in METERED:
        counter = held.setdefault((rule.resource, rule.used), Counter())
        for entity in entities[rule.holder]:
            if entity[rule.key] is not None:
                counter[entity[rule.key]] += _amount(rule, entity)
    for (resource, used), counter in held.items():
        places = await _table(database, resource, "id")
        assert {place["id"]: place[used] for place in places if place[used]} == +counter, (resource, used)
    for rule in METERED:
        if not isinstance(rule, Limited):
            for place in await _table(database, rule.resource, "id"):
                most = place[rule.total] * (place[rule.overcommit] if rule.overcommit else 1)
                assert 0 <= place[rule.used] <= most, (rule.thing, place["id"])
    await _assert_summed(database)


async def _assert_summed(database: Bare) -> None:
    """What the accounts in and below a domain have used, the domain has; the tree is read from the parents alone."""
    domains = {row["id"]: row for row in await _table(database, "domain", "id")}
    for rule in LIMITS:
        used: Counter[str] = Counter()
        for account in await _table(database, "account", "id"):
            place: str | None = account["domain_id"]
            while place is not None:
                used[place] += account[rule.used]
                place = domains[place]["parent_id"]
        assert {name: row[rule.used] for name, row in domains.items() if row[rule.used]} == +used, rule.thing


def _amount(rule: Metered, entity: Row) -> int:
    return 1 if rule.amount is None else int(entity[rule.amount])


def _assert_owned(journal: Sequence[Transition], entities: dict[str, list[Row]]) -> None:
    """The movements in the journal add up to what is held."""
    moved: Counter[tuple[str, str, str]] = Counter()
    for row in journal:
        for movement in row.movements:
            sign, holder = (1, movement.taker) if movement.giver == FREE else (-1, movement.giver)
            assert holder == row.entity_id
            moved[movement.thing, movement.where, holder] += sign * movement.amount
    held: Counter[tuple[str, str, str]] = Counter()
    for metered in METERED:
        for entity in entities[metered.holder]:
            if entity[metered.key] is not None:
                held[metered.thing, entity[metered.key], entity["id"]] += _amount(metered, entity)
    for unique in UNIQUE:
        for entity in entities[unique.holder]:
            if entity[unique.key] is not None:
                where = "/".join([*(entity[column] for column in unique.scope), entity[unique.key]])
                held[unique.thing, where, entity["id"]] += 1
    assert +moved == +held
