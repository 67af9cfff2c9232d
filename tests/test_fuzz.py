"""The fuzzer itself: a seed is a run, what ships keeps its promises, and a broken one is found, shrunk and told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Step
from interlock.engine.core.steps import place
from interlock.schema.machines import MACHINES
from interlock.schema.requests import KINDS
from interlock.testing.fuzz import boundaries, events, ground
from interlock.testing.fuzz.boundaries import cells_of, play
from interlock.testing.fuzz.coverage import POSSIBLE, ROWS, UNWRITTEN, Coverage
from interlock.testing.fuzz.hunt import Hunted, hunt, shrunk
from interlock.testing.fuzz.run import play as run
from interlock.testing.fuzz.run import replay
from interlock.testing.fuzz.scenarios import SCENARIOS, Scenario
from interlock.testing.fuzz.shrink import shrink
from interlock.testing.fuzz.timeline import timeline
from interlock.testing.fuzz.universe import Universe

SETTING = ground.setting()


@pytest.fixture(scope="module")
def hunted() -> Hunted:
    return hunt(ground.setting, "suite", events=40_000)


def test_what_ships_keeps_its_promises(hunted: Hunted) -> None:
    assert hunted.found is None, hunted.found
    assert hunted.events >= 40_000


def test_no_cell_that_is_called_impossible_is_reached(hunted: Hunted) -> None:
    assert hunted.coverage.impossible == []
    assert hunted.coverage.share > 0.6


def test_the_same_seed_is_the_same_journal_however_many_processes_take_part() -> None:
    alone = hunt(ground.setting, "twice", events=1_500)
    again = hunt(ground.setting, "twice", events=1_500)
    together = hunt(ground.setting, "twice", events=1_500, jobs=2)
    other = hunt(ground.setting, "thrice", events=1_500)
    assert alone.digest == again.digest == together.digest != other.digest
    assert alone.coverage.cells == again.coverage.cells == together.coverage.cells


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_hunt_tells_of_the_runs_that_it_counts_and_of_no_others(jobs: int) -> None:
    """Processes are handed several runs at a time, and play some that are not needed any more."""
    coverage = Coverage()
    played = [run(SETTING, "few", number, coverage=coverage) for number in (3, 4)]
    hunted = hunt(ground.setting, "few", events=played[0].count + 1, first=3, jobs=jobs)
    assert (hunted.runs, hunted.events) == (2, sum(each.count for each in played))
    assert hunted.coverage.cells == coverage.cells


def test_a_run_is_its_events_and_nothing_else() -> None:
    drawn = run(SETTING, "replay", 3)
    kept = events.from_json(events.to_json(list(drawn.events)))
    assert replay(SETTING, kept) == drawn


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_that_goes_wrong_at_any_boundary_leaves_anything_half_way(scenario: Scenario) -> None:
    cells = list(cells_of(SETTING, scenario))
    assert len(cells) >= 9
    for cell in cells:
        assert play(SETTING, scenario, cell) is None, cell


def test_every_kind_of_operation_has_a_scenario() -> None:
    assert {scenario.asked[0] for scenario in SCENARIOS} == set(KINDS)


def test_the_rows_that_nothing_writes_are_rows() -> None:
    known = {(machine.name, move.source, move.event) for machine in MACHINES.values() for move in machine.moves}
    assert known >= UNWRITTEN
    assert len(ROWS) + len(UNWRITTEN) == len(known)
    assert len(set(POSSIBLE)) == len(POSSIBLE)


# Something broken


@contextmanager
def forgetful() -> Iterator[None]:
    """`place` that forgets, when it is undone, what the VM held."""

    def forget(draft: Draft) -> None:
        if draft.vm.state == "Starting":
            draft.move(draft.vm, "OperationRetry")

    step: Step = place.PLACE
    kept = step.undo
    object.__setattr__(step, "undo", Act(settle=forget))
    try:
        yield
    finally:
        object.__setattr__(step, "undo", kept)


def test_a_broken_promise_is_found_shrunk_and_told() -> None:
    with forgetful():
        hunted = hunt(ground.setting, "broken", events=50_000)
        assert hunted.found is not None
        short = shrunk(SETTING, hunted.found.outcome)
        assert short.violation is not None
        assert short.violation.promise == hunted.found.violation.promise
        assert len(short.events) <= 40 < len(hunted.found.outcome.events)
        lines = list(timeline(SETTING, short.events))
    assert "deploy" in lines[0] or "start" in lines[0]
    assert any("at step place" in line or "at step prepare" in line for line in lines)
    assert lines[-1].startswith("VIOLATION")


def test_a_wrong_that_does_not_befall_is_no_cell_that_holds() -> None:
    scenario = SCENARIOS[0]
    beyond = boundaries.Cell(scenario=scenario.name, boundary=boundaries.Boundary("effect", 99), wrong="refuse")
    assert play(SETTING, scenario, beyond) == "what was to go wrong did not"


@settings(max_examples=200)
@given(st.sets(st.integers(0, 40), max_size=5), st.integers(41, 60))
def test_shrinking_leaves_what_is_needed_and_nothing_else(needed: set[int], length: int) -> None:
    whole: list[events.Event] = [events.Open(worker=str(number)) for number in range(length)]

    def fails(left: Sequence[events.Event]) -> Sequence[events.Event] | None:
        names = {int(event.worker) for event in left if isinstance(event, events.Open)}
        return left if needed <= names else None

    left = shrink(whole, fails)
    assert {int(event.worker) for event in left if isinstance(event, events.Open)} == needed


def test_an_event_that_does_not_apply_is_skipped() -> None:
    universe = Universe(SETTING, ["w1"], Coverage())
    odd: list[events.Event] = [
        events.Think(worker="w1", operation="9-0"),
        events.Write(worker="w9", operation="9-0"),
        events.Deliver(message="none"),
        events.Arrive(message="none"),
        events.Cancel(worker="w1", operation="9-0"),
        events.Resolve(worker="w1", operation="9-0", way="undo"),
        events.Wake(worker="w1"),
        events.Open(worker="w1"),
        events.Recover(worker="w1"),
        events.Submit(worker="w1", number=9),
        events.Ask(worker="w1", number=9, kind="stop", fields={"vm": "none"}),
        events.Ask(worker="w1", number=9, kind="deploy", fields={"offering": 7}),
    ]
    assert not any(map(universe.happen, odd))
    universe.oracle.quiet()
    universe.close()
