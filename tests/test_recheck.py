"""Recorded inputs through today's code: all comes out as it was written, and a changed rule is found where it first
decides otherwise."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interlock import DeployVM, Engine, Policy
from interlock.drivers.simulator import FaultKind
from interlock.engine.core import course
from interlock.engine.core import decide as core
from interlock.engine.core.decision import seal
from interlock.engine.core.inputs import INPUT, input_in
from interlock.engine.core.steps import place
from interlock.engine.orchestrator import plugins
from interlock.engine.orchestrator.inventory import Inventory
from interlock.planners import first_fit
from interlock.planners.first_fit import FirstFit
from interlock.replay.contrast import inputs, outputs
from interlock.replay.past import Past
from interlock.replay.recheck import Answer, Recheck, Verdict
from interlock.replay.rules import Book
from interlock.replay.source import pages
from interlock.schema.cloud import PLACES, Host, Place
from interlock.schema.rows import text_of
from interlock.schema.transition import Transition
from interlock.testing.fuzz.events import Ask
from interlock.testing.fuzz.run import rest
from interlock.testing.fuzz.scenarios import SCENARIOS, Scenario
from interlock.testing.fuzz.universe import Universe
from tests.command import Shell
from tests.golden_journals import HERE, SETTING, a_life, fuzzed
from tests.histories import rows_of
from tests.world import World, cloud, world

Change = Callable[[pytest.MonkeyPatch], None]
Life = tuple[Path, list[Transition]]


def answers(rows: Iterable[Transition]) -> list[Answer]:
    recheck = Recheck(Past(), Book(plugins.planners({}), plugins.gurus({})))
    return [*recheck.add(rows), *recheck.end()]


def verdicts(rows: Iterable[Transition]) -> Counter[Verdict]:
    """Counted; one that differs fails with all that it is."""
    found = answers(rows)
    assert [answer for answer in found if answer.verdict is Verdict.DIFFERS] == []
    return Counter(answer.verdict for answer in found)


@pytest.mark.parametrize("workers", [("w1",), ("w1", "w2")])
def test_fuzzed_histories_are_decided_the_same_again(workers: tuple[str, ...]) -> None:
    counted: Counter[Verdict] = Counter()
    for number in range(6):
        counted += verdicts(fuzzed("recheck", number, workers))
    assert counted[Verdict.SAME] > 400
    assert counted.keys() <= {Verdict.SAME, Verdict.UNSURE}
    assert counted[Verdict.UNSURE] < 0.1 * counted.total()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_every_operation_is_decided_the_same_again(scenario: Scenario) -> None:
    universe = Universe(SETTING, ["w1"], records=True)
    for number, (kind, fields) in enumerate((*scenario.before, scenario.asked), 1):
        assert universe.happen(Ask(worker="w1", number=number, kind=kind, fields=fields))
        for event in rest(universe):
            universe.happen(event)
    counted = verdicts(rows_of(universe.store))
    assert counted.keys() == {Verdict.SAME}


# --- an engine's journal


async def journal_of(lab: World) -> list[Transition]:
    return [row async for page in pages(lab.engine._store) for row in page]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    async def live(folder: Path) -> Life:
        async with world(folder) as lab:
            await a_life(lab)
            return folder, await journal_of(lab)

    return asyncio.run(live(tmp_path_factory.mktemp("life")))


def test_a_life_with_much_at_once_is_decided_the_same_again(life: Life) -> None:
    _, rows = life
    counted = verdicts(rows)
    assert counted == {Verdict.SAME: counted.total()}
    assert counted.total() == sum(input_in(row) is not None for row in rows)


def test_the_rules_stand_in_full_until_they_are_written_and_then_by_name(life: Life) -> None:
    said = [found["rules"] for row in life[1] if (found := input_in(row)) is not None]
    in_full = [isinstance(each, dict) for each in said]
    assert in_full[0]
    assert in_full == sorted(in_full, reverse=True)
    assert sum(in_full) < 5


async def test_each_engine_says_under_which_rules_it_decides(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy("one")
    async with world(tmp_path, policy=Policy(tries=2, backoff=0.001)) as lab:
        await lab.order("StartDomain", FaultKind.TRANSIENT, times=3)
        await lab.deploy("two")
        rows = await journal_of(lab)
    assert verdicts(rows).keys() == {Verdict.SAME}
    policies = [
        each["rules"]["policy"]["tries"] for row in rows if isinstance((each := input_in(row) or {}).get("rules"), dict)
    ]
    assert dict.fromkeys(policies) == dict.fromkeys([4, 2])


async def test_a_cloud_that_changes_meanwhile_is_shown_as_it_was(tmp_path: Path) -> None:
    async with world(tmp_path, description=cloud(hosts=1, memory=2048)) as lab:
        await asyncio.gather(*(lab.deploy(f"early-{number}") for number in range(3)))
        await lab.engine.load(cloud(hosts=3, memory=2048))
        await lab.engine.set_setting("cluster.memory.allocated.capacity.disablethreshold", 0.7)
        await asyncio.gather(*(lab.deploy(f"late-{number}") for number in range(3)))
        await lab.engine.load(cloud(hosts=4, memory=4096))
        await asyncio.gather(*(lab.deploy(f"last-{number}") for number in range(6)))
        rows = await journal_of(lab)
    counted = verdicts(rows)
    assert counted.keys() <= {Verdict.SAME, Verdict.UNSURE}
    assert counted[Verdict.SAME] > 0.8 * counted.total() > 20


def _more_patience(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "_hopeless", lambda answers: False)


def _other_hosts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(first_fit._ById, "walk", lambda self, shortlist: reversed(list(shortlist)))


def _other_words(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(course, "_announce", lambda draft, number, direction, commands: None)


def _a_bug(patch: pytest.MonkeyPatch) -> None:
    def fails(draft: Any) -> Any:
        raise ZeroDivisionError("planted")

    patch.setattr(place, "demand_of", fails)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (_more_patience, lambda row: "refused" in str(row.cause)),
        (_other_hosts, lambda row: row.destination == "Starting"),
        (_other_words, lambda row: "effects" in row.details),
        (_a_bug, lambda row: row.destination == "Starting"),
    ],
)
def test_a_changed_rule_is_found_at_the_first_decision_that_it_changes(
    life: Life, monkeypatch: pytest.MonkeyPatch, change: Change, first: Callable[[Transition], bool]
) -> None:
    _, rows = life
    change(monkeypatch)
    found = next(answer for answer in answers(rows) if answer.verdict is Verdict.DIFFERS)
    seq = next(row.seq for row in rows if first(row))
    assert seq in {row.seq for row in found.scene.piece.rows}
    assert any(not line.same for line in outputs(found))
    assert all(line.same for line in inputs(found))


def test_what_differs_is_shown_with_both_sides_and_the_gate_is_shut(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = life
    shell = Shell(folder)
    assert f"{len(rows)} transitions" in shell("replay", "--check").out
    _other_hosts(monkeypatch)
    said = shell("replay", "--check", exit=1).out
    assert re.search(r"^transition \d+: deploy of VM web is decided otherwise today$", said, re.MULTILINE)
    assert re.search(r"^vm web +Allocated, host -, planner first-fit +the same$", said, re.MULTILINE)
    assert re.search(r"^  host_id +≠  h-1 +h-2$", said, re.MULTILINE)
    differs = shell("--json", "replay", "--check", exit=1).json[0]["differs"]
    assert {"about": "  host_id", "recorded": "h-1", "today": "h-2"} in differs["outputs"]


def test_places_stand_in_the_order_of_their_ids_whatever_order_a_database_gives_them() -> None:
    by_table: dict[str, list[Place]] = {name: [] for name in PLACES}
    for name, kind in PLACES.items():
        by_table[name] = sorted((each for each in SETTING.places if isinstance(each, kind)), key=lambda each: each.id)
    inventory = Inventory({name: found[::-1] for name, found in by_table.items()})
    for name, kind in PLACES.items():
        assert list(inventory.all(kind)) == by_table[name]
    assert [host.id for host in inventory.hosts("a")] == [
        host.id for host in by_table["host"] if isinstance(host, Host) and host.zone_id == "a"
    ]


async def test_hosts_are_named_in_their_order_however_they_were_described(tmp_path: Path) -> None:
    """More hosts than ten: h-10 comes before h-2, as in the database."""
    async with world(tmp_path, description=cloud(hosts=12, memory=1024)) as lab:
        await asyncio.gather(*(lab.deploy(f"vm-{number}") for number in range(14)))
        rows = await journal_of(lab)
    assert any("no place for VM" in str(row.cause) for row in rows)
    assert verdicts(rows).keys() == {Verdict.SAME}


# --- the gate


def test_the_journals_that_are_kept_are_decided_the_same_again(tmp_path: Path) -> None:
    """Where the core was meant to decide otherwise: `python -m tests.golden_journals`."""
    kept = sorted(map(str, HERE.iterdir()))
    assert len(kept) == 3
    found = Shell(tmp_path)("--json", "replay", "--check", *kept).json
    assert [each["differs"] for each in found] == [None] * 3
    assert sum(each["decisions"]["same"] for each in found) > 200


def test_a_change_of_the_core_shuts_the_gate_at_each_journal_that_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sorted(map(str, HERE.iterdir()))
    with monkeypatch.context() as patch:
        _a_bug(patch)
        found = Shell(tmp_path)("--json", "replay", "--check", *kept, exit=1).json
    assert all(each["differs"] is not None for each in found)
    _more_patience(monkeypatch)
    said = Shell(tmp_path)("replay", "--check", str(HERE / "life.jsonl"), exit=1).out
    assert re.search(r"^answered +.*refused \(fault 1, on order\).* +the same$", said, re.MULTILINE)


def test_a_file_that_was_changed_is_not_replayed(tmp_path: Path) -> None:
    changed = tmp_path / "changed.jsonl"
    whole = bytearray((HERE / "one.jsonl").read_bytes())
    whole[len(whole) // 2] ^= 1
    changed.write_bytes(whole)
    said = Shell(tmp_path)("replay", "--check", str(changed), exit=1)
    assert "changed.jsonl" in said.err


# --- what cannot be compared is said to be so


def resealed(rows: Sequence[Transition], change: Callable[[Transition], Transition]) -> list[Transition]:
    """The rows changed, their chains made anew."""
    ends: dict[str, str] = {}
    found = []
    for row in rows:
        edited = msgspec.structs.replace(change(row), prev=ends.get(row.entity_id, ""))
        found.append(msgspec.structs.replace(edited, hash=seal(edited)))
        ends[row.entity_id] = found[-1].hash
    return found


def _without(key: str) -> Callable[[Transition], Transition]:
    def change(row: Transition) -> Transition:
        detail = row.details
        if key == INPUT:
            detail.pop(INPUT, None)
        elif INPUT in detail and isinstance(detail[INPUT].get("rules"), dict):
            detail[INPUT]["rules"] = "unheard"
        return msgspec.structs.replace(row, detail=text_of(detail) if detail else None)

    return change


@pytest.mark.parametrize(("key", "verdict"), [(INPUT, Verdict.NO_INPUT), ("rules", Verdict.NO_RULES)])
def test_a_journal_that_does_not_say_enough_is_counted_as_such(life: Life, key: str, verdict: Verdict) -> None:
    _, rows = life
    counted = verdicts(resealed(rows, _without(key)))
    assert counted.keys() == {verdict}
    assert counted.total() > 40


async def test_a_decision_of_a_planner_that_is_not_installed_is_not_held_against_the_code(tmp_path: Path) -> None:
    async with world(tmp_path, planners={"own": FirstFit()}) as lab:
        await lab.deploy("one", planner="own")
        await lab.deploy("two")
        rows = await journal_of(lab)
    assert verdicts(rows)[Verdict.NO_PLUGIN] == 1


async def test_what_was_decided_on_figures_of_which_others_were_just_writing_is_never_held_against_the_code(
    tmp_path: Path,
) -> None:
    """Two engines on one database take turns; each hears of the other's writing only after its own."""
    async with (
        world(tmp_path) as lab,
        Engine.open(str(tmp_path / "interlock.db"), drivers={"simulator": lab.simulator}) as other,
    ):
        for number in range(6):
            await asyncio.gather(
                *(lab.deploy(f"a-{number}-{each}", start=each > 1) for each in range(3)),
                *(_deployed(other, lab.request(f"b-{number}-{each}")) for each in range(3)),
            )
        rows = await journal_of(lab)
    counted = verdicts(rows)
    assert counted.keys() <= {Verdict.SAME, Verdict.UNSURE}
    assert counted[Verdict.SAME] > 60


async def _deployed(engine: Engine, request: DeployVM) -> None:
    await (await engine.deploy(request)).ended()
