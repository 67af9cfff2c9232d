"""Rewind: what it gives is what the tables were, row by row and counter by counter, at any moment of any history."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from interlock.embed.cloud import CloudDescription, rows_of
from interlock.engine.core.decision import Author, change
from interlock.engine.store import queries
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed
from interlock.replay.fleet import Fleet
from interlock.replay.rewind import Moment, rewound
from interlock.replay.source import pages
from interlock.schema.cloud import PLACES, Place
from interlock.schema.holdings import COUNTERS
from interlock.schema.records import RECORDS, Vm
from interlock.schema.rows import reader
from interlock.schema.transition import Transition
from interlock.testing.fuzz import ground
from tests.conftest import Copy
from tests.histories import History, history, paged
from tests.histories import rows_of as rows_of_journal

Snapshot = dict[str, dict[str, Any]]
"""All rows of all tables, by table and id."""
MOMENTS = {"sqlite": (5, 40), "postgresql": (1, 40)}
"""How many histories, and how many moments of each."""
UNTOLD = ("security_group",)
"""What requests make on their way: no journal tells of it yet."""
LIFE = (
    ("StartRequested", "Starting"),
    ("OperationSucceeded", "Running"),
    ("StopRequested", "Stopping"),
    ("OperationSucceeded", "Stopped"),
)
TICK = 1_000
"""µs between two events of the fuzzer."""
EDGE = 60_000_000
"""µs before and after a history in which moments are drawn, too."""


async def _snapshot(store: Store) -> Snapshot:
    found: Snapshot = {}
    for name, kind in RECORDS.items():
        rows = map(reader(kind), await store.rows(queries.all_of(name)))
        found[name] = {record.id: record for record in rows}
    for name, places in (await store.places()).items():
        if name not in UNTOLD:
            found[name] = {place.id: place for place in places}
    return found


def _rewound(fleet: Fleet) -> Snapshot:
    records = {name: dict(fleet.records(name)) for name in RECORDS}
    return records | {name: {place.id: place for place in fleet.places(name)} for name in PLACES if name not in UNTOLD}


def _written(lived: History) -> Iterator[tuple[int, Any]]:
    """The decisions that were written, each with the moment: no earlier than it, and any before it, was decided."""
    clock = 0
    for decision, verdict in lived[1]:
        if isinstance(verdict, Committed):
            clock = max(clock, *(entry.at for entry in decision.journal), 0)
            yield clock, decision


def _moments(lived: History, count: int, seed: int) -> list[int]:
    """Random times from before the beginning to after the end; some are just a decision's, or next to one."""
    chance = random.Random(seed)
    times = [at for at, _ in _written(lived)]
    found: set[int] = set()
    while len(found) < count:
        found.add(chance.randint(times[0] - EDGE, times[-1] + EDGE))
        found.add(chance.choice(times) + chance.randint(-1, 0))
    return sorted(found)


async def _lived(store: Store, lived: History, moments: list[int]) -> dict[int, Snapshot]:
    """Write a history, and take a snapshot of all tables at each moment."""
    await store.put(CloudDescription.parse(ground.CLOUD).rows() | rows_of(ground.places()))
    left, taken = list(moments), dict[int, Snapshot]()
    for at, decision in _written(lived):
        while left and left[0] < at:
            taken[left.pop(0)] = await _snapshot(store)
        verdict = await store.commit(msgspec.structs.replace(decision, if_fresh=False))
        assert isinstance(verdict, Committed)
    return taken | {at: snapshot for snapshot in [await _snapshot(store)] for at in left}


async def test_the_fleet_at_a_time_is_the_snapshot_taken_then(copy: Copy, dialect: str) -> None:
    """The third of the issue's promises: 200 random moments of fuzzed histories, on SQLite; some on PostgreSQL."""
    runs, count = MOMENTS[dialect]
    compared, disordered = 0, False
    seen: set[tuple[int, int]] = set()
    for number in range(runs):
        lived = history("rewind", number, TICK)
        async with copy("current") as url:
            store = await Store.open(url)
            try:
                taken = await _lived(store, lived, _moments(lived, count, number))
                emptied = _without_usage(await store.places())
                for at, snapshot in taken.items():
                    fleet = await rewound(pages(store), emptied, Moment(at=at))
                    assert _rewound(fleet) == snapshot
                    compared += 1
                    seen.add((number, fleet.seq))
                times = [row.at for row in lived[0].journal]
                disordered |= times != sorted(times)
            finally:
                await store.close()
    assert disordered, "no decision was passed by another on its way: nothing was shown of times that do not rise"
    assert compared >= runs * count and len(seen) > compared / 3, "the moments were too few, or much the same"


def _without_usage(places: dict[str, list[Place]]) -> dict[str, list[Place]]:
    """Places whose counters say nonsense: what rewind says of them it has from the journal."""
    nonsense = {name: dict.fromkeys(columns, -1) for name, columns in COUNTERS.items()}
    return {
        name: [msgspec.structs.replace(place, **nonsense.get(name, {})) for place in found]
        for name, found in places.items()
    }


async def _restless(rows: list[Transition], rounds: int) -> AsyncIterator[list[Transition]]:
    """A journal that goes on with a VM that is started and stopped again and again, page after page."""
    yield rows
    made = next(row for row in rows if row.machine == "vm" and not row.source)
    fleet = await rewound(paged(rows), {}, Moment())
    vm, seq = fleet.vm(made.entity_id), len(rows)
    for _ in range(rounds):
        page = []
        for event, state in LIFE:
            seq += 1
            author = Author(at=fleet.time + seq, operation_id=None, actor="restless")
            after = msgspec.structs.replace(vm, state=state, version=vm.version + 1, since=author.at)
            moved = change(vm, after, event, author, None, None)
            page.append(Transition(**msgspec.structs.asdict(moved.entry), seq=seq))
            assert isinstance(moved.after, Vm)
            vm = moved.after
        yield page


async def test_memory_is_that_of_the_records_not_of_the_journal() -> None:
    rows = rows_of_journal(history("rewind", 0, TICK)[0])
    beginning = next(row.seq for row in rows if row.machine == "vm" and row.destination == "Allocated")
    peaks = []
    for rounds in (100, 2000):
        tracemalloc.start()
        fleet = await rewound(_restless(rows[:beginning], rounds), {}, Moment())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert fleet.seq == beginning + rounds * len(LIFE)
    assert peaks[1] < peaks[0] * 1.2, f"peaks of {peaks} bytes"
