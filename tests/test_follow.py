"""follow, the core alone: whatever the record says and hosts find, it ends as a plain model says, and the books agree.

Every combination of a VM's state, what its host finds, where else it was seen, what that host and a third one find, and
who does not answer. The model is a handful of sentences, and shares no code with the rules.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import DeployVM, InvalidRequest
from interlock.engine.core.decision import Decision, End
from interlock.engine.core.events import Claimed, Settled, Woken
from interlock.engine.core.sightings import Kind, Seen, agrees, concluded, must_search
from interlock.schema.cloud import Host
from interlock.schema.commands import (
    AnyCommand,
    Done,
    LookForDomain,
    Outcome,
    Refusal,
    Refused,
    Scope,
    StopDomain,
)
from interlock.schema.reports import Found, Power
from interlock.schema.requests import DestroyVM, ExpungeVM, FollowVM, StopVM
from tests.test_core import REQUEST, Shell, all_done, vm_of
from tests.world import cloud

SILENT, DENIED = "silent", "denied"
SAYS: dict[str, Outcome] = {
    "on": Done(found=Found(Power.ON)),
    "paused": Done(found=Found(Power.PAUSED)),
    "off": Done(found=Found(Power.OFF, "crashed")),
    "away": Done(found=Found(Power.OFF, "migrated")),
    "absent": Done(found=Found(Power.ABSENT)),
    SILENT: Refused(kind=Refusal.UNKNOWN, scope=Scope.HOST, reason="no answer"),
    DENIED: Refused(kind=Refusal.PERMANENT, scope=Scope.HOST, reason="no driver is open"),
}
UP = ("on", "paused")
STATES = ("Allocated", "Running", "Unknown", "Stopped", "Destroyed", "Expunged", "Error")


def a_vm(state: str) -> Shell:
    """A VM in a state; one that holds a host holds h-1."""
    shell = Shell(cloud(hosts=3))
    if state == "Error":
        decision = shell.feed(shell.request(REQUEST), Claimed(at=shell.at, worker_id="w"))
        refused = Refused(kind=Refusal.PERMANENT, scope=Scope.VM, reason="no")
        while decision.outcome is None:
            undoing = decision.operation.state == "Undoing"
            shell.at += 1
            answers = tuple(Done() if undoing else refused for _ in decision.effects)
            decision = shell.feed(decision, Settled(at=shell.at, outcomes=answers))
    elif state == "Allocated":
        all_done(shell, shell.request(DeployVM(name="web", offering="small", template="t", start=False)))
    else:
        all_done(shell, shell.request(REQUEST))
    vm = vm_of(shell)
    if state == "Unknown":
        follow(shell, {"h-1": SILENT})
    if state == "Stopped":
        all_done(shell, shell.request(StopVM(vm.id)))
    if state in ("Destroyed", "Expunged"):
        all_done(shell, shell.request(DestroyVM(vm.id)))
    if state == "Expunged":
        all_done(shell, shell.request(ExpungeVM(vm.id)))
    assert vm_of(shell).state == state
    return shell


def follow(shell: Shell, says: dict[str, str], seen_on: str | None = None) -> Decision:
    """Drive a follow to its end; hosts answer looks as they are told, and do all else."""
    decision = shell.feed(shell.request(FollowVM(vm_of(shell).id, seen_on)), Claimed(at=shell.at, worker_id="w"))
    while decision.outcome is None:
        shell.at += 1
        if decision.effects:
            tokens = [effect.token for effect in decision.effects]
            assert len(set(tokens)) == len(tokens)
            answers = tuple(_answer(effect.command, says) for effect in decision.effects)
            decision = shell.feed(decision, Settled(at=shell.at, outcomes=answers))
        else:
            assert decision.wake_at is not None
            decision = shell.feed(decision, Woken(at=decision.wake_at))
    return decision


def _answer(command: AnyCommand, says: dict[str, str]) -> Outcome:
    return SAYS[says[command.at]] if isinstance(command, LookForDomain) else Done()


def expected(state: str, says: dict[str, str], seen_on: str | None) -> tuple[str, str | None, End]:
    """The model: the VM's state and host, and how the operation ends."""
    host = "h-1" if state in ("Running", "Unknown") else None
    unchanged = (state, host, End.FAILED)
    lost = ("Unknown", "h-1", End.SUCCEEDED) if state == "Running" else unchanged
    if host is None:
        last = "h-1" if state in ("Stopped", "Destroyed", "Expunged") else None
        asked = seen_on or last
        mute = asked is not None and says[asked] in (SILENT, DENIED)
        return (state, None, End.FAILED if mute else End.SUCCEEDED)
    if says["h-1"] == DENIED:
        return unchanged
    if says["h-1"] == SILENT:
        return lost
    if says["h-1"] in UP:
        return ("Running", "h-1", End.SUCCEEDED)
    if seen_on and says[seen_on] in UP:
        return ("Running", seen_on, End.SUCCEEDED)
    if says["h-1"] == "off":
        return ("Stopped", None, End.SUCCEEDED)
    for other in ("h-2", "h-3"):
        if says[other] in UP:
            return ("Running", other, End.SUCCEEDED)
    if {says["h-2"], says["h-3"]} & {SILENT, DENIED}:
        return lost
    return ("Stopped", None, End.SUCCEEDED)


@pytest.mark.parametrize("seen_on", [None, "h-2"])
@pytest.mark.parametrize("state", STATES)
def test_every_case_ends_where_the_model_says(state: str, seen_on: str | None) -> None:
    holds = state in ("Running", "Unknown")
    cases = 0
    for here, there, third in product(SAYS, SAYS, SAYS if holds else ("absent",)):
        shell, says = a_vm(state), {"h-1": here, "h-2": there, "h-3": third}
        before = len(shell.journal)
        decision = follow(shell, says, seen_on)
        vm = vm_of(shell)
        assert (vm.state, vm.host_id, decision.outcome) == expected(state, says, seen_on), says
        assert_books(shell)
        if (vm.state, vm.host_id) == (state, "h-1" if holds else None):
            assert {row.machine for row in shell.journal[before:]} == {"operation"}, "nothing differs, nothing written"
        operation = decision.operation
        assert msgspec.json.decode(msgspec.json.encode(operation.kept)) == operation.kept, "as it is read back"
        cases += 1
    assert cases == len(SAYS) ** (3 if holds else 2)


def assert_books(shell: Shell) -> None:
    """Capacity is held where the record says, and only there; NICs stand as the VM does."""
    vm, holdings = vm_of(shell), shell.holdings()
    held = {where for thing, where in holdings if thing == "cpu"}
    assert held == ({vm.host_id} if vm.host_id else set())
    states = {each.state for each in shell.snapshot(None, vm.id).nics}
    assert states == ({"Reserved"} if vm.host_id else set() if vm.state in ("Expunged", "Error") else {"Allocated"})
    assert vm.target_host_id is None
    used = {host.id for host in shell.cloud.all(Host) if host.cpu_used_mhz}
    assert used == held


def test_a_healthy_vm_is_asked_nothing_but_where_it_is() -> None:
    shell = a_vm("Running")
    decision = shell.feed(shell.request(FollowVM(vm_of(shell).id, "h-2")), Claimed(at=shell.at, worker_id="w"))
    assert [type(effect.command) for effect in decision.effects] == [LookForDomain, LookForDomain]
    found = (SAYS["on"], SAYS["absent"])
    assert shell.feed(decision, Settled(at=shell.at, outcomes=found)).outcome is End.SUCCEEDED


def test_nothing_that_runs_is_ever_stopped_but_a_stray_that_is_to_end() -> None:
    """What is left of a guest is only removed unless it is up."""
    for here, there in product(SAYS, SAYS):
        shell = a_vm("Running")
        asked: list[AnyCommand] = []
        decision = shell.feed(shell.request(FollowVM(vm_of(shell).id)), Claimed(at=shell.at, worker_id="w"))
        while decision.outcome is None:
            asked += [effect.command for effect in decision.effects]
            says = {"h-1": here, "h-2": there, "h-3": there}
            answers = tuple(_answer(effect.command, says) for effect in decision.effects)
            event = Settled(at=shell.at, outcomes=answers) if answers else Woken(at=decision.wake_at or shell.at)
            decision = shell.feed(decision, event)
        stops = [each for each in asked if isinstance(each, StopDomain)]
        assert all(each.unless_up for each in stops)
        assert not stops or here not in UP


def test_a_vm_that_somebody_moved_where_its_books_have_no_room_stays_and_says_so() -> None:
    shell = Shell(cloud(hosts=2, memory=1024))
    all_done(shell, shell.request(REQUEST))
    all_done(shell, shell.request(DeployVM(name="two", offering="small", template="t")))
    vm = vm_of(shell)
    decision = follow(shell, {"h-1": "absent", "h-2": "on"}, "h-2")
    assert decision.outcome is End.FAILED
    assert "cannot be recorded there: it holds 1024 MiB memory, 0 are free" in (decision.operation.error or "")
    assert vm_of(shell) == vm
    assert decision.if_fresh


def test_the_cause_is_in_the_journal() -> None:
    for says, words in {
        "off": "crashed (host h-1)",
        "absent": "host h-1 does not have it any more",
        SILENT: "host h-1 does not answer: no answer",
    }.items():
        shell = a_vm("Running")
        follow(shell, {"h-1": says, "h-2": "absent", "h-3": "absent"})
        [cause] = [row.cause for row in shell.journal if row.machine == "vm" and row.cause]
        assert cause == words


def test_only_administrators_have_hosts_asked() -> None:
    shell = a_vm("Running")
    with pytest.raises(InvalidRequest, match="there is no host 'h-9'"):
        shell.request(FollowVM(vm_of(shell).id, "h-9"))


# The rules of sightings

seen = st.builds(Seen, st.sampled_from([*Power, None]), st.sampled_from(["", "migrated", "crashed"]))
hosts = st.dictionaries(st.sampled_from(["h1", "h2", "h3", "h4"]), seen)


@settings(max_examples=500, deadline=None)
@given(found=hosts, here=seen)
def test_what_is_concluded_never_says_more_than_was_found(found: dict[str, Seen], here: Seen) -> None:
    found = {"h1": here, **{host: each for host, each in found.items() if host != "h1"}}
    conclusion = concluded("h1", found)
    if here.is_up:
        assert conclusion.kind is Kind.HERE
    if here.power is None:
        assert conclusion.kind is Kind.LOST
    if conclusion.kind is Kind.STOPPED:
        assert not any(each.is_up for each in found.values())
        assert not here.is_gone or all(each.power is not None for each in found.values())
    if conclusion.kind is Kind.MOVED:
        assert conclusion.to is not None and found[conclusion.to].is_up and not here.is_up
    assert all(found[host].is_up and host not in ("h1", conclusion.to) for host in conclusion.strays)
    assert not must_search("h1", found) or conclusion.kind in (Kind.STOPPED, Kind.LOST)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("power", Power)
def test_a_report_agrees_with_a_record_when_nothing_would_follow_from_it(state: str, power: Power) -> None:
    """Held to the conclusions: what agrees is never a reason to write, or to look for strays."""
    recorded = "h1" if state in ("Running", "Unknown") else None
    for host in ("h1", "h2"):
        found: dict[str, Any] = {host: Seen(power)}
        if recorded:
            found = {"h1": Seen(Power.ON), **found}
        conclusion = concluded(recorded, found)
        changes = conclusion.kind not in (Kind.HERE, Kind.NOTHING) or (state == "Unknown" and host == "h1")
        assert agrees(state, recorded, host, power) == (not changes and not conclusion.strays)
