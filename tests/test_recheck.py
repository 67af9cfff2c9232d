"""Recorded inputs through today's code: all comes out as it was written, and a changed rule is found where it first
decides otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from interlock.engine.orchestrator import plugins
from interlock.engine.store.memory import MemoryStore
from interlock.replay.past import Past
from interlock.replay.recheck import Answer, Recheck, Verdict
from interlock.replay.rules import Book
from interlock.schema.cloud import Place
from interlock.schema.transition import Transition
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.chance import Chance, a_mix
from interlock.testing.fuzz.run import rest
from interlock.testing.fuzz.universe import Universe

SETTING = ground.setting()


def numbered(store: MemoryStore) -> list[Transition]:
    return [
        Transition(seq=number, **{name: getattr(entry, name) for name in entry.__struct_fields__})
        for number, entry in enumerate(store.journal, 1)
    ]


def rechecked(places: Iterable[Place], rows: Iterable[Transition], *, planners: Any = None) -> Recheck:
    """All of it; at the first that differs, fail with it."""
    recheck = Recheck(Past(places), Book(planners or plugins.planners({}), plugins.gurus({})))
    for answer in (*recheck.add(rows), *recheck.end()):
        assert answer.verdict is not Verdict.DIFFERS, answer
    return recheck


def first_difference(places: Iterable[Place], rows: Iterable[Transition]) -> Answer | None:
    recheck = Recheck(Past(places), Book(plugins.planners({}), plugins.gurus({})))
    found = (answer for answer in (*recheck.add(rows), *recheck.end()) if answer.verdict is Verdict.DIFFERS)
    return next(found, None)


def fuzzed(number: int, workers: Iterable[str]) -> list[Transition]:
    universe = Universe(SETTING, workers, records=True)
    chance = Chance("recheck", number, universe, a_mix("recheck", number))
    for _ in range(400):
        universe.happen(chance.next())
    for event in rest(universe):
        universe.happen(event)
    return numbered(universe.store)


@pytest.mark.parametrize("workers", [("w1",), ("w1", "w2")])
def test_fuzzed_histories_are_decided_the_same_again(workers: tuple[str, ...]) -> None:
    counted: Counter[Verdict] = Counter()
    for number in range(6):
        counted += rechecked(SETTING.places, fuzzed(number, workers)).counted
    assert counted[Verdict.SAME] > 400
    assert counted.keys() <= {Verdict.SAME, Verdict.UNSURE}
    assert counted[Verdict.UNSURE] < 0.1 * counted.total()
