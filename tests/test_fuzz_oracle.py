"""The oracle looks at what an event touched, and from time to time at everything: whatever changes behind its back, in
whatever table, is noticed then at the latest. And its books, moved along, are what counting comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from interlock.schema.holdings import COUNTERS
from interlock.schema.records import Vm
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.chance import Chance
from interlock.testing.fuzz.hypervisor import Act, MemoryHypervisor
from interlock.testing.fuzz.mix import Mix
from interlock.testing.fuzz.oracle import WHOLE
from interlock.testing.fuzz.universe import Universe
from interlock.testing.fuzz.violation import Violation

SETTING = ground.setting()
CALM = Mix(outside=0, resolve=0, defect=0.05)
"""Nothing happens to guests that no command asked for, and what is Stuck stays so: all of the world is compared."""
LENGTH = 300
"""Events until there is some of everything."""


def _lived(number: int) -> Universe:
    made = Universe(SETTING, ["w1", "w2"])
    chance = Chance("behind", number, made, CALM)
    for _ in range(LENGTH):
        made.happen(chance.next())
    return made


def _resting(universe: Universe) -> list[Vm]:
    """The VMs that run, and no operation has."""
    vms = universe.store.records["vm"].values()
    return [vm for vm in vms if vm.state == "Running" and ("vm", vm.id) not in universe.store.active]


@pytest.fixture(scope="module")
def number() -> int:
    """Of a run that has some of everything in its middle: a VM that just runs, operations under way and stuck."""
    for number in range(50):
        universe = _lived(number)
        found = _resting(universe) and universe.store.driven and universe.store.stuck
        universe.close()
        if found:
            return number
    raise AssertionError("no run has some of everything")


@pytest.fixture
def universe(number: int) -> Iterator[Universe]:
    """One in the middle of its life."""
    made = _lived(number)
    made.oracle.whole()
    yield made
    made.close()


Change = Callable[[Universe], None]


def _record(machine: str) -> Change:
    """A record is written without a row in the journal."""

    def change(universe: Universe) -> None:
        known = universe.store.records[machine]
        last = next(reversed(known))
        known[last] = msgspec.structs.replace(known[last], version=known[last].version + 1)

    return change


def _removed(machine: str) -> Change:
    return lambda universe: universe.store.records[machine].popitem() and None


def _added(machine: str) -> Change:
    def change(universe: Universe) -> None:
        known = universe.store.records[machine]
        known["other"] = msgspec.structs.replace(next(iter(known.values())), id="other")

    return change


def _counter(name: str, column: str) -> Change:
    """A figure is one more than what is held."""

    def change(universe: Universe) -> None:
        known = universe.store.places[name]
        first = next(iter(known))
        known[first] = msgspec.structs.replace(known[first], **{column: getattr(known[first], column) + 1})

    return change


def _place(universe: Universe) -> None:
    hosts = universe.store.places["host"]
    hosts["a1-h-1"] = msgspec.structs.replace(hosts["a1-h-1"], enabled=False)


def _place_removed(universe: Universe) -> None:
    del universe.store.places["template"]["big"]


def _row_replaced(universe: Universe) -> None:
    rows = universe.store.journal
    rows[5] = msgspec.structs.replace(rows[5], actor="somebody else")


def _row_removed(universe: Universe) -> None:
    del universe.store.journal[5]


def _row_added(universe: Universe) -> None:
    universe.store.journal.append(universe.store.journal[5])


def _list_loses(name: str) -> Change:
    """One of the lists that the tables keep besides the records lacks an entry."""

    def change(universe: Universe) -> None:
        kept = getattr(universe.store, name)
        assert kept, f"there is nothing in {name}"
        del kept[next(key for key, value in kept.items() if value != {})]

    return change


def _list_gains(name: str) -> Change:
    def change(universe: Universe) -> None:
        kept = getattr(universe.store, name)
        kept["other"] = next(value for value in kept.values() if value != {})

    return change


def _running(universe: Universe) -> tuple[str, str]:
    """A VM that runs, and another host than its own."""
    [vm, *_] = _resting(universe)
    return vm.id, next(host for host in universe.store.places["host"] if host != vm.host_id)


def _guest(act: Act) -> Change:
    """Something happens to a guest, and the oracle is not told that it is on order."""

    def change(universe: Universe) -> None:
        guest, host = _running(universe)
        assert universe.hypervisor.happens(act, guest, host)

    return change


def _in_the_world(statement: str) -> Change:
    """A row of the hypervisor's world is changed."""

    def change(universe: Universe) -> None:
        assert isinstance(universe.hypervisor, MemoryHypervisor)
        vm_id, _ = _running(universe)
        assert universe.hypervisor._db.execute(statement, (vm_id,)).rowcount > 0
        universe.hypervisor._found.clear()

    return change


def _books(universe: Universe) -> None:
    held = universe.oracle._books._held
    held[next(iter(held))] += 1


MACHINES = ("vm", "nic", "volume", "operation")
LISTS = ("parts", "active", "driven", "stuck", "names", "owned")
BEHIND: dict[str, tuple[str, Change]] = {
    **{f"a {name} is written": ("rebuild", _record(name)) for name in MACHINES},
    **{f"a {name} is removed": ("rebuild", _removed(name)) for name in MACHINES},
    **{f"a {name} is added": ("rebuild", _added(name)) for name in MACHINES},
    **{
        f"{name}.{column} is off by one": ("ledger", _counter(name, column))
        for name, columns in COUNTERS.items()
        for column in columns
    },
    "a place is written": ("rebuild", _place),
    "a place is removed": ("rebuild", _place_removed),
    "a row is replaced": ("journal", _row_replaced),
    "a row is removed": ("journal", _row_removed),
    "a row is added": ("journal", _row_added),
    **{f"{name} loses an entry": ("tables", _list_loses(name)) for name in LISTS},
    **{f"{name} gains an entry": ("tables", _list_gains(name)) for name in LISTS},
    "a guest stops": ("world", _guest(Act.SHUTS_DOWN)),
    "a guest vanishes": ("world", _guest(Act.VANISHES)),
    "a guest moves": ("world", _guest(Act.MOVES)),
    "a second guest runs": ("one guest", _guest(Act.APPEARS)),
    "a disk is gone": ("world", _in_the_world("DELETE FROM volume WHERE vm = ?")),
    "a disk is elsewhere": ("world", _in_the_world("UPDATE volume SET pool = 'another' WHERE vm = ?")),
    "a NIC is not ready": ("world", _in_the_world("DELETE FROM nic WHERE vm = ?")),
    "a NIC is ready elsewhere": ("world", _in_the_world("UPDATE nic SET host = 'another' WHERE vm = ?")),
    "the books are off by one": ("ledger", _books),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_what_changes_behind_its_back_is_noticed_when_it_looks_at_everything(universe: Universe, behind: str) -> None:
    promise, change = BEHIND[behind]
    change(universe)
    with pytest.raises(Violation) as broken:
        universe.oracle.whole()
    assert broken.value.promise == promise, broken.value


@pytest.mark.parametrize("behind", ["names loses an entry", "a guest stops", "a place is written", "a row is replaced"])
def test_it_looks_at_everything_from_time_to_time(universe: Universe, behind: str) -> None:
    """Of events that touch nothing of it, none would notice."""
    BEHIND[behind][1](universe)
    with pytest.raises(Violation):
        for _ in range(WHOLE):
            assert universe.happen(e.Pass(time=0))


def test_the_books_are_what_counting_comes_to_after_every_event() -> None:
    looked = 0
    for number in range(3):
        universe = Universe(SETTING, ["w1", "w2"])
        chance = Chance("books", number, universe, Mix())
        for _ in range(LENGTH):
            if universe.happen(chance.next()):
                universe.oracle.whole()
                looked += 1
        universe.close()
    assert looked > 2 * LENGTH


def test_a_run_ends_with_a_look_at_everything() -> None:
    universe = Universe(SETTING, ["w1"])
    assert universe.happen(e.Pass(time=0))
    universe.oracle.quiet()
    _place(universe)
    with pytest.raises(Violation, match="the places of host"):
        universe.oracle.quiet()
    universe.close()


def test_a_world_that_was_used_is_empty_for_the_next(universe: Universe) -> None:
    hosts, pools = list(universe.store.places["host"].values()), list(universe.store.places["storage_pool"].values())
    before = MemoryHypervisor(hosts, pools)
    seen = before.seen()
    before.close()
    used = MemoryHypervisor(hosts, pools)
    db = used._db
    assert used.happens(Act.APPEARS, "stranger", hosts[0].id)
    assert used.seen() != seen
    used.close()
    again = MemoryHypervisor(hosts, pools)
    assert again._db is db
    assert again.seen() == seen
    again.close()
