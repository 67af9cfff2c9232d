"""The interlocks: an entity enters a state only if all that belongs to it stands where it must.

`violated` is held against the rules told again in another way (`allowed`), and against examples a person can
check.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from interlock.schema.errors import TableError
from interlock.schema.interlocks import (
    BY_ENTRY,
    INTERLOCKS,
    Holds,
    HoldsNo,
    Interlock,
    Related,
    Standing,
    interlock,
    violated,
)
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import RECORDS

VM, NIC, VOLUME = MACHINES["vm"], MACHINES["nic"], MACHINES["volume"]


class Entity(msgspec.Struct, frozen=True):
    """The columns that interlocks look at, of whatever machine."""

    host_id: str | None = None
    target_host_id: str | None = None
    charged_to: str | None = None
    pool_id: str | None = None
    ip_address: str | None = None
    ip6_address: str | None = None
    mac_address: str | None = None
    host_name: str | None = None


# The table


@pytest.mark.parametrize(
    ("machine", "state", "need", "culprit"),
    [
        ("router", "Running", Holds("host_id"), "router"),
        ("vm", "Flying", Holds("host_id"), "Flying"),
        ("vm", "Running", Related("router", ("Running",)), "router"),
        ("vm", "Running", Related("nic", ("Reserved", "Flying")), "Flying"),
        ("vm", "Running", Related("nic", ("Running",)), "Running of machine nic"),
    ],
)
def test_a_row_that_names_the_unknown_does_not_load(
    machine: str, state: str, need: Holds | Related, culprit: str
) -> None:
    with pytest.raises(TableError, match=culprit):
        interlock(machine, state, need)


def test_no_two_rows_are_about_the_same_entry() -> None:
    assert len(BY_ENTRY) == len(INTERLOCKS)


@pytest.mark.parametrize("row", INTERLOCKS, ids=lambda row: f"{row.machine}-{row.state}")
def test_a_row_asks_for_columns_that_its_record_has(row: Interlock) -> None:
    columns = {need.column for need in row.needs if isinstance(need, Holds | HoldsNo)}
    assert columns <= set(RECORDS[row.machine].__struct_fields__)


@pytest.mark.parametrize("row", INTERLOCKS, ids=lambda row: f"{row.machine}-{row.state}")
def test_a_row_asks_for_states_in_which_something_can_stand(row: Interlock) -> None:
    """A related entity in a terminal state never counts, so asking for one would mean nothing."""
    related = [need for need in row.needs if isinstance(need, Related)]
    for need in related:
        assert not set(need.states) & set(MACHINES[need.machine].names(Stability.TERMINAL))


# Examples


def test_a_vm_runs_with_its_nics_reserved_and_its_volumes_ready() -> None:
    related = [Standing("nic", "n1", "Reserved"), Standing("volume", "v1", "Ready")]
    assert not violated(VM, "Running", Entity(host_id="h1", charged_to="acme"), related)


def test_each_reason_is_told() -> None:
    related = [Standing("nic", "n1", "Allocated"), Standing("volume", "v1", "Creating")]
    assert list(violated(VM, "Running", Entity(), related)) == [
        "it holds no host_id",
        "it holds no charged_to",
        "nic n1 is Allocated, not Reserved",
        "volume v1 is Creating, not Ready",
    ]


def test_a_vm_that_holds_a_host_is_not_stopped() -> None:
    stopped = [Standing("nic", "n1", "Allocated")]
    reasons = violated(VM, "Stopped", Entity(host_id="h1", charged_to="acme"), stopped)
    assert list(reasons) == ["it still holds host_id h1"]


def test_a_vm_that_migrates_is_neither_running_nor_stopped_until_it_holds_one_host() -> None:
    both = Entity(host_id="h1", target_host_id="h2", charged_to="acme")
    assert list(violated(VM, "Running", both, [])) == ["it still holds target_host_id h2"]
    assert "it still holds target_host_id h2" in violated(VM, "Stopped", both, [])


@pytest.mark.parametrize("state", ["Destroyed", "Error", "Expunged"])
def test_a_vm_that_is_gone_counts_against_no_limit(state: str) -> None:
    assert list(violated(VM, state, Entity(charged_to="acme"), [])) == ["it still holds charged_to acme"]
    assert not violated(VM, state, Entity(), [])


def test_history_does_not_count() -> None:
    related = [Standing("nic", "n1", "Deallocated"), Standing("volume", "v1", "Expunged")]
    assert not violated(VM, "Running", Entity(host_id="h1", charged_to="acme"), related)
    assert not violated(VM, "Expunged", Entity(), related)


def test_an_expunged_vm_leaves_nothing_behind() -> None:
    related = [Standing("nic", "n1", "Allocated"), Standing("volume", "v1", "Destroy")]
    assert list(violated(VM, "Expunged", Entity(), related)) == [
        "nic n1 is Allocated, not gone",
        "volume v1 is Destroy, not gone",
    ]


@pytest.mark.parametrize("machine", [NIC, VOLUME], ids=["nic", "volume"])
def test_a_busy_vm_keeps_its_nics_and_a_running_one_its_volumes(machine: Any) -> None:
    state, busy = {"nic": ("Deallocating", "Stopping"), "volume": ("Expunging", "Running")}[machine.name]
    [reason] = violated(machine, state, Entity(), [Standing("vm", "i-1", busy)])
    assert reason.startswith(f"vm i-1 is {busy}, not ")
    assert not violated(machine, state, Entity(), [Standing("vm", "i-1", "Stopped")])


def test_a_state_without_row_may_always_be_entered() -> None:
    assert ("vm", "Stopping") not in BY_ENTRY
    assert not violated(VM, "Stopping", Entity(), [Standing("nic", "n1", "Releasing")])


# Properties


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """Any entity that a VM could have to do with, in any of its states."""
    name = draw(st.sampled_from(["vm", "nic", "volume"]))
    return Standing(name, draw(st.sampled_from(["1", "2", "3"])), draw(st.sampled_from([*MACHINES[name].states])))


values = st.sampled_from([None, "held"])
entities = st.builds(Entity, **dict.fromkeys(Entity.__struct_fields__, values))
entries = st.sampled_from([(each, state) for each in MACHINES.values() for state in each.states])


def allowed(row: Interlock | None, entity: Entity, related: list[Standing]) -> bool:
    """Whether the entity may enter, by the words of the table."""
    held = {column for column, value in msgspec.structs.asdict(entity).items() if value is not None}
    for need in row.needs if row else ():
        if isinstance(need, Holds) and need.column not in held:
            return False
        if isinstance(need, HoldsNo) and need.column in held:
            return False
        if isinstance(need, Related):
            history = MACHINES[need.machine].names(Stability.TERMINAL)
            states = {other.state for other in related if other.machine == need.machine}
            if states - {*need.states, *history}:
                return False
    return True


@given(entries, entities, st.lists(standings(), max_size=4))
def test_a_reason_is_told_exactly_when_a_need_is_unmet(
    entry: tuple[Any, str], entity: Entity, related: list[Standing]
) -> None:
    machine, state = entry
    may = allowed(BY_ENTRY.get((machine.name, state)), entity, related)
    event("may enter" if may else "may not")
    assert (not violated(machine, state, entity, related)) == may


@given(entries, entities, st.lists(standings(), max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_related_entities_says_nothing(
    entry: tuple[Any, str], entity: Entity, related: list[Standing], chance: Any
) -> None:
    shuffled = chance.sample(related, len(related))
    assert sorted(violated(*entry, entity, related)) == sorted(violated(*entry, entity, shuffled))


@given(entries, entities, st.lists(standings(), max_size=4))
def test_every_related_entity_in_the_way_is_named(
    entry: tuple[Any, str], entity: Entity, related: list[Standing]
) -> None:
    """Taking away what the reasons name leaves only what the entity itself holds."""
    reasons = violated(*entry, entity, related)
    rest = [other for other in related if not any(_names(reason, other) for reason in reasons)]
    assert all(reason.startswith("it ") for reason in violated(*entry, entity, rest))


def _names(reason: str, other: Standing) -> bool:
    return reason.startswith(f"{other.machine} {other.id} is {other.state},")
