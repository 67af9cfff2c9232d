"""What the fuzzer aims at: each kind of operation meets all that can go wrong, and only what befell it counts."""

from __future__ import annotations

from collections import Counter

import pytest

from interlock.testing.fuzz import events as e
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.chance import progress
from interlock.testing.fuzz.coverage import NONE, WRONGS, Cell, Coverage
from interlock.testing.fuzz.hypervisor import Act
from interlock.testing.fuzz.kinds import KINDS_ASKED
from interlock.testing.fuzz.mix import TURNS, Mix, a_mix
from interlock.testing.fuzz.network import Fault
from interlock.testing.fuzz.oracle import Oracle
from interlock.testing.fuzz.run import play
from interlock.testing.fuzz.universe import Universe
from interlock.testing.fuzz.violation import Violation

SETTING = ground.setting()


def test_each_kind_has_its_turn_with_each_thing_that_can_go_wrong() -> None:
    mixes = [a_mix("any", number) for number in range(len(TURNS) * len(WRONGS))]
    met = {(kind, mix.focus) for mix in mixes for kind in mix.aimed_at}
    assert met >= {(kind, wrong) for kind in KINDS_ASKED for wrong in WRONGS}


@pytest.mark.parametrize("wrong", [Fault.LOST_REPLY, Fault.DUPLICATE, e.Fate.UNHEARD])
def test_what_is_in_focus_befalls_what_it_is_aimed_at_and_nothing_else(wrong: str) -> None:
    coverage = Coverage()
    quiet = Mix(fault=0, fate=0, outside=0, crash=0, pause=0, cancel=0, defect=0, broken_try=0)
    aimed = {"focus": wrong, "aimed_at": ("deploy",), "aim": 1.0}
    mix = Mix(**{**{name: getattr(quiet, name) for name in quiet.__struct_fields__}, **aimed})
    outcome = play(SETTING, "aimed", 1, mix=mix, coverage=coverage)
    assert outcome.violation is None
    befell = Counter({cell: count for cell, count in coverage.cells.items() if cell[1] != NONE})
    assert {cell[1] for cell in befell} == {wrong}
    started = ("vm", "Starting", "OperationSucceeded")
    assert befell[started, wrong, NONE] >= 2
    rows = {row for row, _, _ in befell}
    assert not rows & {("vm", "Running", "StopRequested"), ("vm", "Stopped", "DestroyRequested")}


def test_the_operations_of_one_run_do_not_count_for_those_of_the_next() -> None:
    together, apart = Coverage(), Counter[Cell]()
    for number in range(4):
        alone = Coverage()
        play(SETTING, "apart", number, coverage=alone)
        apart.update(alone.cells)
        play(SETTING, "apart", number, coverage=together)
    assert together.cells == apart
    together.befell("1-0", Fault.LATE)
    assert together.has_befallen("1-0", Fault.LATE)
    together.end()
    assert not together.has_befallen("1-0", Fault.LATE)


# A host that refuses to give up what it has of a VM


def moved_and_refused() -> Universe:
    """A guest that was moved, and whose new host refuses one of its NICs, and then to release the other."""
    universe = Universe(SETTING, ["w1"], Coverage())
    zone, offering, template = "a", "spread", "t"
    nics = [{"network": "net"}, {"network": "back"}]
    fields: dict[str, object] = {
        "zone": zone,
        "account": "ann",
        "offering": offering,
        "template": template,
        "nics": nics,
    }
    ask(universe, 1, "deploy", fields)
    [vm] = universe.store.records["vm"].values()
    [host] = {"a1-h-1", "a1-h-2"} - {vm.host_id} if vm.host_id in ("a1-h-1", "a1-h-2") else {"a1-h-1"}
    assert universe.happen(e.Outside(act=Act.MOVES, guest=vm.id, host=host))
    ask(universe, 2, "follow", {"vm": vm.id, "host": host}, refused=("/adopt/do/nic 1-3", "/adopt/undo/nic 1-2"))
    assert [each.state for each in universe.store.records["operation"].values()] == ["Succeeded", "Failed"]
    assert host in universe.hypervisor.nics("1-2")  # type: ignore[operator]
    return universe


def ask(universe: Universe, number: int, kind: str, fields: dict[str, object], refused: tuple[str, ...] = ()) -> None:
    """Have an operation come to its end; messages whose name has one of `refused` in it are."""
    assert universe.happen(e.Ask(worker="w1", number=number, kind=kind, fields=fields))
    left = list(refused)
    while able := [each for each in progress(universe) if not isinstance(each, e.Submit)]:
        event = able[0]
        hit = [each for each in left if isinstance(event, e.Deliver) and each in event.message]
        if hit and isinstance(event, e.Deliver):
            event = e.Deliver(message=event.message, fault=Fault.REFUSE)
            left.remove(hit[0])
        assert universe.happen(event)
    assert not left


def stopped_and_looked_for(universe: Universe) -> None:
    [vm] = universe.store.records["vm"].values()
    [(host, _)] = universe.hypervisor.guests(vm.id)
    ask(universe, 3, "stop", {"vm": vm.id})
    ask(universe, 4, "follow", {"vm": vm.id, "host": host})
    universe.oracle.quiet()


def test_a_nic_that_a_host_refused_to_release_may_be_left_there() -> None:
    stopped_and_looked_for(moved_and_refused())


def test_any_other_nic_that_is_left_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    universe = moved_and_refused()
    monkeypatch.setattr(universe.oracle, "_left", set())
    with pytest.raises(Violation, match="NIC 1-2 of VM 1-1 is Allocated, and ready on"):
        stopped_and_looked_for(universe)
    assert isinstance(universe.oracle, Oracle)


def test_a_vm_is_not_asked_about_where_only_a_disk_of_it_was_meant() -> None:
    """A disk is to be deleted, is attached before that is written, and its VM is being stopped when it is refused."""
    universe = Universe(SETTING, ["w1"], Coverage())
    ask(universe, 1, "deploy", {"zone": "a", "account": "ann", "offering": "spread", "template": "t"})
    owner: dict[str, object] = {"zone": "a", "account": "ann", "name": "spare", "offering": "fixed"}
    ask(universe, 2, "create-disk", owner)
    [disk] = [each.id for each in universe.store.records["volume"].values() if each.kind == "DATA"]
    slow = e.Ask(worker="w1", number=9, kind="delete-disk", fields={"volume": disk}, slow=True)
    assert universe.happen(slow)
    ask(universe, 3, "attach-disk", {"vm": "1-1", "volume": disk})
    assert universe.happen(e.Ask(worker="w1", number=4, kind="stop", fields={"vm": "1-1"}))
    assert universe.happen(e.Think(worker="w1", operation="4-0"))
    assert universe.happen(e.Write(worker="w1", operation="4-0"))
    assert universe.store.records["vm"]["1-1"].state == "Stopping"
    assert universe.happen(e.Submit(worker="w1", number=9))
    assert universe.happen(e.Think(worker="w1", operation="9-0"))
    assert universe.happen(e.Write(worker="w1", operation="9-0"))
    assert universe.store.records["operation"]["9-0"].state == "Failed"
