"""Recorded transitions are held against the machines that made them: what is right passes, what is wrong is found
where it stands, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks import logs
from interlock.pictures.machine import as_rows
from interlock.replay.foreign import identity
from interlock.replay.foreign.checking import Checked, Checker, Finding, Trouble, ways
from interlock.replay.foreign.machines import declared_in, differences, eras, machines
from interlock.replay.foreign.names import NAMES, OURS
from interlock.replay.foreign.overview import Overview
from interlock.replay.foreign.rows import rows
from interlock.schema.machine import Machine, Stability
from interlock.schema.machines import MACHINES
from tests.cloudstack_lines import HOST_LINES, OTHERS, Guest, Node, Step, log4j1, log4j2, oldest, vm_new, vm_old
from tests.test_cloudstack_lines import HOSTS, judged, moves
from tests.test_pictures import READERS, declared

VM = "cloudstack-vm"
every_machine = pytest.mark.parametrize("each", machines().values(), ids=NAMES)


def found(checked: list[Checked]) -> list[Finding]:
    """All that is wrong."""
    return [finding for each in checked for finding in each.findings]


# --- the machines


ROWS = {
    "cloudstack-vm": 54,
    "cloudstack-volume": 63,
    "cloudstack-nic": 7,
    "cloudstack-network": 8,
    "cloudstack-host": 51,
    "cloudstack-resource": 41,
    "cloudstack-object": 23,
    "cloudstack-snapshot": 18,
    "cloudstack-vm-snapshot": 13,
    "cloudstack-template": 7,
    "cloudstack-zone": 4,
    "cloudstack-ha": 38,
    "cloudstack-power": 18,
}
"""The number of `addTransition` calls in CloudStack's source."""


def test_every_machine_loads_with_all_its_rows() -> None:
    assert tuple(machines()) == NAMES == tuple(ROWS) == tuple(declared_in())
    assert {name: len(moves(name)) for name in NAMES} == ROWS
    passing = (
        "Starting",
        "Running",
        "Stopping",
        "Stopped",
        "Destroyed",
        "Expunging",
        "Error",
        "Migrating",
        "Restoring",
    )
    assert sorted(machines()[VM].states) == sorted(passing)


@every_machine
def test_every_form_of_a_picture_shows_the_machine(each: Machine) -> None:
    for name, read in READERS.items():
        assert read(each) == declared(each), name
    assert len(as_rows(each)) >= len(each.moves)


@every_machine
def test_what_is_read_of_others_has_no_deadline_of_ours(each: Machine) -> None:
    assert all(state.within is None and state.overdue is None for state in each.states.values())
    if each.name in (VM, "cloudstack-volume"):
        assert each.names(Stability.TRANSITIONAL)


def test_our_vm_machine_has_all_of_cloudstacks_but_for_a_failed_expunge() -> None:
    assert differences(VM) == [("Expunging", "OperationFailed", "Expunging", "Error")]
    assert differences("cloudstack-nic") == []
    for name in OURS:
        for source, event, theirs, ours in differences(name):
            assert machines()[name].table[source, event] == theirs
            assert MACHINES[OURS[name]].table.get((source, event), "") == ours != theirs


def test_the_ways_between_states_are_the_shortest() -> None:
    assert ways(VM)["Stopped", "Running"] == 1  # FollowAgentPowerOnReport
    assert ways(VM)["Running", "Destroyed"] == 2
    assert ("Expunging", "Running") not in ways(VM)
    assert ways("cloudstack-ha")["Disabled", "Fenced"] == 6


# --- walks


@dataclass(frozen=True)
class Written:
    """One recorded transition and the line that tells of it."""

    vm: int
    step: Step
    line: str


@st.composite
def walks(draw: st.DrawFn) -> list[Written]:
    """The interleaved histories of a few VMs, each legal, in the words of one release."""
    era = draw(st.sampled_from(["4.16", "4.18", "4.20.1"]))
    states: dict[int, str] = {}
    written: list[Written] = []
    for number in range(draw(st.integers(2, 40))):
        vm = draw(st.integers(1, 4))
        state = states.get(vm) or draw(st.sampled_from(sorted(machines()[VM].states)))
        step = draw(st.sampled_from([move for move in moves(VM) if move[0] == state]))
        states[vm] = step[2]
        written.append(Written(vm, step, log4j2(vm_new(Guest(vm), step, HOSTS[number % 3], era), number, job=vm)))
    return written


@given(walks())
def test_a_legal_history_has_nothing_wrong(written: list[Written]) -> None:
    checked = judged([each.line for each in written])
    assert not found(checked)
    overview = Overview().add_all(checked)
    assert len(overview.entities) == len({each.vm for each in written})
    assert sum(each.transitions for each in overview.entities.values()) == len(written)
    assert overview.as_ours + sum(each.count for each in overview.differences.values()) == len(written)
    last = {f"vm {each.vm}": each.step[2] for each in written}
    assert {key: entity.states[VM] for key, entity in overview.entities.items()} == last


@given(walks(), st.data())
def test_a_line_that_is_taken_out_leaves_a_gap_where_its_vm_goes_on(
    written: list[Written], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(written) - 1))
    gone = written[at]
    before = [each for each in written[:at] if each.vm == gone.vm]
    after = [number for number, each in enumerate(written) if number > at and each.vm == gone.vm]
    assume(before and after and gone.step[0] != gone.step[2])
    lines = [each.line for each in written]
    del lines[at]
    [finding] = found(judged(lines))
    assert finding.trouble is Trouble.GAP and finding.missing == 1
    assert (finding.fact.line, finding.whose and finding.whose.key) == (after[0], f"vm {gone.vm}")


@given(walks(), st.data())
def test_a_line_that_is_changed_is_illegal_where_it_stands(written: list[Written], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(written) - 1))
    source = written[at].step[0]
    events = sorted({move[1] for move in moves(VM)})
    changed = (source, data.draw(st.sampled_from(events)), data.draw(st.sampled_from(sorted(machines()[VM].states))))
    assume(machines()[VM].table.get(changed[:2]) != changed[2] and changed != ("Expunging", "OperationFailed", "Error"))
    lines = [each.line for each in written]
    lines[at] = log4j2(vm_new(Guest(written[at].vm), changed, HOSTS[0]), at)
    wrong = found(judged(lines))
    illegal = [each for each in wrong if each.trouble is Trouble.ILLEGAL]
    assert [each.fact.line for each in illegal] == [at + 1]
    assert len(wrong) <= 2, "where it goes on there may be a gap, and nothing else"


def test_what_cannot_have_led_there_is_impossible() -> None:
    lines = [
        log4j2(vm_new(Guest(), step, HOSTS[0]), number)
        for number, step in enumerate(
            [("Destroyed", "ExpungeOperation", "Expunging"), ("Running", "StopRequested", "Stopping")]
        )
    ]
    [finding] = found(judged(lines))
    assert (finding.trouble, finding.fact.line) == (Trouble.IMPOSSIBLE, 2)
    assert "it was Expunging since -:1" in finding.words


def test_hosts_are_followed_by_each_of_their_machines() -> None:
    node = Node(5)
    lines = [
        log4j2(HOST_LINES["agent-status"][1](node, ("Up", "PingTimeout", "Alert")), 1, job=None),
        log4j2(HOST_LINES["resource-state"][1](node, ("Enabled", "Disable", "Disabled")), 2, job=None),
        log4j2(HOST_LINES["host-ha-old"][1](node, ("Available", "HealthCheckFailed", "Suspect")), 3, job=None),
        log4j2(HOST_LINES["agent-status"][1](node, ("Down", "AgentConnected", "Connecting")), 4, job=None),
        log4j2(HOST_LINES["host-ha"][1](node, ("Suspect", "PerformActivityCheck", "Checking")), 5, job=None),
    ]
    checked = judged(lines)
    [finding] = found(checked)
    assert (finding.fact.line, finding.trouble, finding.missing) == (4, Trouble.GAP, 1)
    [entity] = Overview().add_all(checked).entities.values()
    assert list(entity.states.values()) == ["Connecting", "Disabled", "Checking"]


# --- eras


def test_a_failed_expunge_ends_in_error_since_2026() -> None:
    line = log4j2(vm_new(Guest(), ("Expunging", "OperationFailed", "Error"), HOSTS[0]))
    [early] = found(judged([line]))
    assert early.trouble is Trouble.ERA and "12749" in early.words
    [checked] = judged([line.replace("2025-", "2026-")])
    assert not checked.findings and checked.ours == "Error"


def test_the_vm_sync_came_with_4_3() -> None:
    step = ("Running", "FollowAgentPowerOffReport", "Stopped")
    [early] = found(judged([oldest(vm_old(step, HOSTS[0]))]))
    assert early.trouble is Trouble.ERA and "4.3" in early.words
    assert not found(judged([log4j1(vm_old(step, HOSTS[0]))]))
    assert [each.events for each in eras()[VM] if each.events] == [
        ("FollowAgentPowerOnReport", "FollowAgentPowerOffReport")
    ]


# --- refusals


def test_a_refusal_is_right_when_the_table_has_no_such_row() -> None:
    right, wrong = (
        f"Failed to transit volume: 31, due to: x: Unable to transition to a new state from Ready via {event}"
        for event in ("CopyRequested", "ResizeRequested")
    )
    first, second = judged([log4j2(right), log4j2(wrong)])
    assert not first.findings and first.ours == ""
    assert [each.trouble for each in second.findings] == [Trouble.CONTRADICTED] and second.ours == "Resizing"


def test_a_listener_that_tells_of_no_row_is_found_out() -> None:
    line = OTHERS["HA listener"][0]
    assert not found(judged([log4j2(line, job=None)]))
    [finding] = found(judged([log4j2(line.replace("Suspect", "Fenced"), job=None)]))
    assert finding.trouble is Trouble.ILLEGAL


# --- whose it is, where the line names nobody

START: list[Step] = [
    ("Stopped", "StartRequested", "Starting"),
    ("Starting", "OperationRetry", "Starting"),
    ("Starting", "OperationSucceeded", "Running"),
]


def told(steps: list[Step], job: int = 8, begin: float = 0) -> Iterator[str]:
    """The lines of a work job until 4.15."""
    for number, step in enumerate(steps):
        yield log4j1(vm_old(step, HOSTS[0]), begin + number, job)


def names(checked: list[Checked]) -> list[str]:
    """Whose each fact is."""
    return [each.whose.name if each.whose else "-" for each in checked]


def test_a_work_job_is_about_one_vm_and_its_queue_says_which() -> None:
    lines = [log4j1(OTHERS["job queued"][0]), *told(START)]
    checked = judged(lines)
    assert names(checked) == ["-", "6", "6", "6"] and not found(checked)
    newer = judged([*lines, log4j2(vm_new(Guest(), ("Stopped", "StartRequested", "Starting"), HOSTS[0]), 9)])
    [finding] = found(newer)
    assert (finding.trouble, finding.fact.line, names(newer)[-1]) == (Trouble.GAP, 5, "i-2-6-VM")


def test_a_router_that_starts_within_a_job_is_another_vm() -> None:
    checked = judged([*told(START[:2]), *told(START, begin=5), *told(START[2:], begin=9)])
    assert not found(checked)
    vm, router = "(VM of job-8)", "(VM of job-8 (2))"
    assert names(checked) == [vm, vm, router, router, router, vm]


def test_what_does_not_follow_within_a_work_job_is_found() -> None:
    [finding] = found(judged(told([START[0], ("Stopping", "OperationSucceeded", "Stopped")])))
    assert (finding.trouble, finding.fact.line) == (Trouble.GAP, 2)


def test_a_job_of_the_api_may_be_about_several_vms() -> None:
    expunge: Step = ("Stopped", "ExpungeOperation", "Expunging")
    assert not found(judged([oldest(vm_old(expunge, HOSTS[0]), number) for number in range(3)]))
    amiss: Step = ("Stopping", "OperationSucceeded", "Stopped")
    [finding] = found(judged([oldest(vm_old(step, HOSTS[0])) for step in (expunge, amiss)]))
    assert finding.trouble is Trouble.IMPOSSIBLE


def test_the_same_job_number_a_day_later_is_another_job() -> None:
    assert not found(judged([*told(START), *told(START, begin=90_000)]))
    assert found(judged([*told(START), *told(START[1:], begin=80_000)]))


def test_without_a_job_nobody_is_named_and_the_table_still_holds() -> None:
    checked = judged([log4j1(vm_old(("Starting", "OperationSucceeded", "Stopped"), HOSTS[0]), job=None)])
    [finding] = found(checked)
    assert checked[0].whose is None and finding.trouble is Trouble.ILLEGAL and "does not name" in finding.words


def test_names_numbers_and_uuids_are_of_one_vm() -> None:
    vm = Guest(77)
    checked = judged(
        [
            log4j2(vm_new(vm, ("Stopped", "StartRequested", "Starting"), HOSTS[0])),
            log4j2(f"VM {vm.name} is sync-ed to at Running state according to power-on report from hypervisor."),
            log4j2("VM state report is updated. host: 2, vm id: 77, power state: PowerOn"),
            log4j2(
                f'There is pending job or HA tasks working on the VM. vm: VM instance {{"uuid":"{vm.uuid}"}}, '
                "postpone power-change report by resetting power-change counters."
            ),
        ]
    )
    assert {each.whose.key for each in checked if each.whose} == {"vm 77"} and len(checked) == 4
    assert set(names(checked)) == {vm.name}


def test_memory_does_not_grow_with_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "JOBS", 50)
    monkeypatch.setattr("interlock.replay.foreign.checking.JOBS", 50)
    checker = Checker()
    lines = [line for job in range(500) for line in told(START, job)]
    facts = [each.fact for each in judged(lines)]
    assert not found(list(checker.check_all(facts)))
    assert len(checker.passing) <= 50 and not checker.states


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """What `python -m benchmarks.logs` writes is read whole, and a log five times as long in the same memory."""
    most = []
    for lines in (10_000, 50_000):
        logs.write(tmp_path / "ms.log", lines, vms=100, every=30)
        tally, overview = logs.read(tmp_path / "ms.log")
        assert tally.lines == tally.understood + tally.unknown + tally.continuation >= lines
        assert not overview.findings and overview.as_ours == tally.understood > lines // 100
        most.append(logs.most_memory(tmp_path / "ms.log"))
    assert most[1] < 1.3 * most[0]


# --- as journal rows


@given(walks(), st.data())
def test_transitions_become_rows_of_our_journal(written: list[Written], data: st.DataObject) -> None:
    kept = [each for each in written if data.draw(st.booleans())]
    made = list(rows(judged([each.line for each in kept])))
    logged = [row for row in made if row.actor == "cloudstack"]
    assert [(row.source, row.event, row.destination) for row in logged] == [each.step for each in kept]
    assert [row.seq for row in made] == list(range(1, len(made) + 1))
    assert {row.machine for row in made} <= {"vm"} and {row.tables for row in made} <= {0}
    assert [row.entity_id for row in logged] == [row.vm_id for row in logged] == [f"vm {each.vm}" for each in kept]
    for vm in {each.vm for each in kept}:
        state, version = "", 0
        for row in (each for each in made if each.entity_id == f"vm {vm}"):
            assert (row.source, row.version) == (state, version + 1), "each begins where the one before it ended"
            assert row.actor == "cloudstack" or row.event == ("NotInLog" if version else "FirstSeen")
            assert row.changed["name"] == f"i-2-{vm}-VM" and row.operation_id == f"job-{vm}"
            state, version = row.destination, row.version


def test_rows_tell_where_a_vm_is_and_what_is_wrong() -> None:
    steps: list[Step] = [("Stopped", "StartRequested", "Starting"), ("Running", "StopRequested", "Stopping")]
    made = list(rows(judged([log4j2(vm_new(Guest(), step, HOSTS[1]), n) for n, step in enumerate(steps)])))
    assert [row.event for row in made] == ["FirstSeen", "StartRequested", "NotInLog", "StopRequested"]
    assert made[1].changed["host_id"] == Node(2).name and "host_id" not in made[0].changed
    assert made[2].cause is None and "1 or more transitions are missing" in str(made[3].cause)
    assert [row.details["line"] for row in made] == [1, 1, 2, 2]
    assert made[0].at == made[1].at == made[3].at - 1_000_000
