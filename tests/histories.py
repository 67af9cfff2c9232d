"""Histories from the fuzzer: runs of it, with every decision that was handed to the store and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

import msgspec
import pytest

from interlock.engine.core.decision import Decision
from interlock.engine.store.memory import MemoryStore
from interlock.engine.store.verdict import Verdict
from interlock.schema.transition import Transition
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.events import Event
from interlock.testing.fuzz.run import play
from interlock.testing.fuzz.universe import Universe

History: TypeAlias = tuple[MemoryStore, list[tuple[Decision, Verdict]]]
"""The tables at the end, and what was handed in, in order."""


def history(seed: str, number: int, tick: int = 0) -> History:
    """One run, which must break no promise.

    Args:
        seed: any text.
        number: which of the seed's runs.
        tick: µs that every event takes; without, many happen at one moment.
    """
    stores: list[MemoryStore] = []
    handed: list[tuple[Decision, Verdict]] = []
    commit, happen = MemoryStore.commit, Universe.happen

    def kept(store: MemoryStore, decision: Decision) -> Verdict:
        verdict = commit(store, decision)
        stores.append(store)
        handed.append((decision, verdict))
        return verdict

    def ticking(universe: Universe, event: Event) -> bool:
        universe.now += tick
        return happen(universe, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "commit", kept)
        patch.setattr(Universe, "happen", ticking)
        outcome = play(ground.setting(), seed, number)
    assert outcome.violation is None
    return stores[0], handed


def rows_of(store: MemoryStore) -> list[Transition]:
    """The journal of a store in memory, numbered as a database numbers it."""
    return [
        Transition(**msgspec.structs.asdict(entry), seq=number) for number, entry in enumerate(store.journal, start=1)
    ]


async def paged(rows: Sequence[Transition], size: int = 7) -> AsyncIterator[list[Transition]]:
    """Rows in pages, as they are read."""
    for first in range(0, len(rows), size):
        yield list(rows[first : first + size])
