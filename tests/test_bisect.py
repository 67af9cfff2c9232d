"""diff and bisect over fuzzed journals: the first break and no other, and nothing that differs is left out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.engine.core.decision import seal
from interlock.engine.core.rebuild import JournalBroken
from interlock.replay.bisect import Bisected, bisected
from interlock.replay.diff import difference
from interlock.replay.fleet import Fleet
from interlock.replay.predicates import Found, Predicate, called, parsed
from interlock.replay.rewind import Moment, Play, rewound
from interlock.replay.usage import total, used
from interlock.schema.cloud import Host, Place
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.holdings import METERED
from interlock.schema.machines import MACHINES
from interlock.schema.records import MOVED, RECORDS, Entity, Vm
from interlock.schema.transition import Transition
from tests.histories import history, paged, rows_of

PLACES: dict[str, list[Place]] = {}
"""The journal tells of all of them."""
KINDS = ("host", "storage_pool", "account", "domain")
BEGINNING = Moment(seq=0)


@pytest.fixture(scope="module")
def journal() -> list[Transition]:
    """One that has a few hundred rows."""
    found = [rows_of(history("bisect", number, 1000)[0]) for number in range(4)]
    return max(found, key=len)


def fleet_at(rows: Sequence[Transition], moment: Moment) -> Fleet:
    """The fleet after some rows."""
    return asyncio.run(rewound(paged(rows), PLACES, moment))


def search(rows: Sequence[Transition], predicate: Predicate, start: Moment = BEGINNING) -> Bisected:
    """Bisect from a moment."""

    async def found() -> Bisected:
        play = Play(paged(rows), PLACES)
        await play.to(start)
        return await bisected(play, predicate)

    return asyncio.run(found())


# --- fleets


def test_what_is_carried_along_is_what_a_count_gives(journal: list[Transition]) -> None:
    fleet, named = Fleet(PLACES), 0
    for row in journal:
        fleet.add(row)
        if row.seq % 20 == 0:
            for name in RECORDS:
                counted = Counter(record.state for record in fleet.records(name).values())
                assert +fleet.counts[name] == counted
            for vm in fleet.records("vm").values():
                named += fleet.find(vm.name) is not None and fleet.find(vm.id) is vm
    assert named > 20


async def test_a_page_boundary_is_nothing_to_a_play(journal: list[Transition]) -> None:
    for size in (1, 7, 10_000):
        play = Play(paged(journal, size), PLACES)
        assert (await play.to(Moment(seq=100))).seq == 100
        assert (await play.to(Moment())).seq == len(journal)


async def test_a_moment_that_is_not_there_is_refused(journal: list[Transition]) -> None:
    with pytest.raises(NotFound, match=f"there is no transition 100000; the journal ends with {len(journal)}"):
        await rewound(paged(journal), PLACES, Moment(seq=100_000))
    play = Play(paged(journal), PLACES)
    fleet = await play.to(Moment(seq=50))
    for moment in (Moment(seq=49), Moment(at=fleet.time - 1)):
        with pytest.raises(InvalidRequest, match="that is before transition 50"):
            await play.to(moment)
    assert await play.to(Moment(at=fleet.time)) is fleet


async def test_times_before_and_after_everything_are_the_beginning_and_the_end(journal: list[Transition]) -> None:
    assert (await rewound(paged(journal), PLACES, Moment(at=-1))).seq == 0
    assert (await rewound(paged(journal), PLACES, Moment(at=2**60))).seq == len(journal)
    assert (await rewound(paged([]), PLACES, Moment())).last is None


async def test_a_time_leaves_out_what_follows_a_later_decision_whatever_its_own_time(
    journal: list[Transition],
) -> None:
    late = next(each for each, row in enumerate(journal) if each and row.at < journal[each - 1].at)
    time = journal[late].at
    fleet = await rewound(paged(journal), PLACES, Moment(at=time))
    assert fleet.seq < journal[late].seq
    assert journal[fleet.seq].at > time and fleet.time <= time


async def test_a_row_that_was_edited_ends_the_play(journal: list[Transition]) -> None:
    edited = [*journal[:30], msgspec.structs.replace(journal[30], actor="other"), *journal[31:]]
    assert (await rewound(paged(edited), PLACES, Moment(seq=30))).seq == 30
    with pytest.raises(JournalBroken, match=r"^row 31,"):
        await rewound(paged(edited), PLACES, Moment())


def test_two_vms_of_one_name_must_be_told_apart(journal: list[Transition]) -> None:
    fleet = Fleet(PLACES)
    for row in journal[:60]:
        fleet.add(row)
    with pytest.raises(NotFound, match="after transition 60 there is no VM 'nix'"):
        fleet.vm("nix")
    made = next(row for row in journal if row.machine == "vm" and not row.source)
    name = made.changed["name"]
    assert fleet.vm(name).id == made.entity_id
    twin = msgspec.structs.replace(
        made, seq=61, entity_id="twin", vm_id="twin", ledger=made.ledger.replace(f'"{made.entity_id}"', '"twin"')
    )
    fleet.add(msgspec.structs.replace(twin, hash=seal(twin)))
    with pytest.raises(InvalidRequest, match=f"several VMs are named {name}; say which: {made.entity_id}, twin"):
        fleet.vm(name)
    assert fleet.vm("twin").name == name and fleet.vm(made.entity_id).id == made.entity_id
    assert (found := fleet.find(name)) is not None and found.id == "twin"


# --- diff


@settings(max_examples=25)
@given(st.data())
def test_before_with_the_difference_is_after(journal: list[Transition], data: st.DataObject) -> None:
    one, two = sorted(data.draw(st.integers(0, len(journal))) for _ in range(2))
    before, after = fleet_at(journal, Moment(seq=one)), fleet_at(journal, Moment(seq=two))
    found = difference(before, after)
    built: dict[str, dict[str, Any]] = {name: dict(before.records(name)) for name in RECORDS}
    for each in (*found.made, *found.moved, *found.changed):
        assert each.transitions > 0
        old = built[each.machine].get(each.after.id)
        assert old == each.before
        values = {name: new for name, (_, new) in each.attributes.items()}
        built[each.machine][each.after.id] = (
            each.after if old is None else msgspec.structs.replace(old, **values, state=each.after.state)
        )
    for name in RECORDS:
        assert {key: _plain(record) for key, record in built[name].items()} == {
            key: _plain(record) for key, record in after.records(name).items()
        }
    _places_follow(before, after, {(each.kind, (each.after or each.before).id): each for each in found.places})  # type: ignore[union-attr]


def _plain(record: Any) -> dict[str, Any]:
    fields = msgspec.structs.asdict(record)
    return {name: value for name, value in fields.items() if name not in MOVED or name == "state"}


def _places_follow(before: Fleet, after: Fleet, differing: dict[Any, Any]) -> None:
    for kind in KINDS:
        old, new = ({each.id: each for each in fleet.places(kind)} for fleet in (before, after))
        for place_id in {*old, *new}:
            was, is_now = old.get(place_id), new.get(place_id)
            assert ((kind, place_id) in differing) is (was != is_now)
            if was != is_now:
                each = differing[kind, place_id]
                assert (each.before, each.after) == (was, is_now)
                assert all(
                    pair == (getattr(was, name), getattr(is_now, name)) for name, pair in each.attributes.items()
                )


def test_of_one_vm_only_what_is_its_own_differs(journal: list[Transition]) -> None:
    before, after = Fleet(PLACES), fleet_at(journal, Moment())
    vm = next(vm for vm in after.records("vm").values() if vm.state == "Running")
    found = difference(before, after, vm.id)
    its: list[Entity] = [*after.nics(vm.id), *after.volumes(vm.id), *after.operations(vm.id)]
    assert {each.after.id for each in found.made} == {vm.id} | {each.id for each in its}
    assert vm.host_id in {each.after.id for each in found.places if each.after and each.kind == "host"}
    assert len(found.places) < len(difference(before, after).places)
    hosts = {each.after.id for each in difference(before, after).places if each.kind == "host" and each.after}
    assert hosts == {place.id for place in after.places("host")}, "all were made since the beginning"


def test_a_difference_backwards_is_refused(journal: list[Transition]) -> None:
    with pytest.raises(InvalidRequest, match="transition 9 is after 0; name the earlier moment first"):
        difference(fleet_at(journal, Moment(seq=9)), Fleet(PLACES))


# --- bisect


SUBJECTS = (
    "count vm Running",
    "count vm Starting",
    "count operation Stuck",
    "count nic",
    "sum host cpu",
    "host a1-h-1 memory",
    "every pool space",
    "account ann vms",
    "domain corp cores",
)
PREDICATES = st.builds(
    "{} {} {}".format,
    st.sampled_from(SUBJECTS),
    st.sampled_from(("<", "<=", ">", ">=", "=", "!=")),
    st.sampled_from((0, 1, 2, 3, 500, 1000, 2048, 4096)),
)


@settings(max_examples=60)
@given(PREDICATES)
def test_the_first_break_is_found_whatever_comes_after_it(journal: list[Transition], text: str) -> None:
    """Against a search that asks at the end of every decision, forwards, with fleets of its own."""
    predicate, fleet = parsed(text), Fleet(PLACES)
    held_from = 0 if predicate(fleet).holds else None
    expected: tuple[int, int] | None = None
    for _, together in groupby(journal, key=lambda row: (row.at, row.operation_id)):
        decision = list(together)
        for row in decision:
            fleet.add(row)
        holds = parsed(text)(fleet).holds  # a new one, that remembers nothing
        if held_from is None:
            held_from = fleet.seq if holds else None
        elif not holds:
            expected = (decision[0].seq, decision[-1].seq)
            break
    found = search(journal, predicate)
    assert found.held_from == held_from
    assert (found.broken.decided if found.broken else None) == expected
    if found.broken is not None:
        _fails_from_there(journal, predicate, found)


def _fails_from_there(rows: list[Transition], predicate: Predicate, found: Bisected) -> None:
    """After the transition, until its decision ends; not before it."""
    assert found.broken is not None
    seq, (first, last) = found.broken.transition.seq, found.broken.decided
    assert first <= seq <= last
    assert all(not predicate(fleet_at(rows, Moment(seq=each))).holds for each in range(seq, last + 1))
    before = fleet_at(rows, Moment(seq=seq - 1))
    assert predicate(before).holds
    row = found.broken.transition
    assert found.broken.before == before.record(row.machine, row.entity_id)
    assert found.broken.after == fleet_at(rows, Moment(seq=seq)).record(row.machine, row.entity_id)


def test_what_fails_only_within_a_decision_never_stood_in_the_tables(journal: list[Transition]) -> None:
    torn: list[int] = []

    def whole(fleet: Fleet) -> Found:
        """A VM that starts has an operation that runs: written together, one after the other."""
        driven = {each.vm_id for each in fleet.records("operation").values() if each.state not in ("Queued", "Stuck")}
        holds = all(vm.id in driven for vm in fleet.records("vm").values() if vm.state == "Starting")
        if not holds:
            torn.append(fleet.seq)
        return Found(holds, "")

    assert search(journal, whole).broken is None
    assert torn, "it never failed between two rows of a decision: nothing was shown"


def test_the_search_may_begin_later(journal: list[Transition]) -> None:
    predicate = parsed("count operation Running = 0")
    first = search(journal, predicate).broken
    assert first is not None
    second = search(journal, predicate, Moment(seq=first.decided[1])).broken
    assert second is not None and second.transition.seq > first.decided[1]
    assert not predicate(fleet_at(journal, Moment(seq=first.decided[1]))).holds


# --- predicates


def _said(fleet: Fleet, text: str) -> tuple[bool, str]:
    found = parsed(text)(fleet)
    return found.holds, found.said


def test_predicates_see_what_is_there(journal: list[Transition]) -> None:
    fleet = fleet_at(journal, Moment())
    vms: Mapping[str, Vm] = fleet.records("vm")
    vm = next(vm for vm in vms.values() if vm.state == "Running" and fleet.find(vm.name) is vm)
    host = fleet.place("host", vm.host_id or "")
    assert isinstance(host, Host)
    percent = 100 * host.cpu_used_mhz / host.cpu_mhz
    for text, expected in (
        (f"vm {vm.name} is Running", (True, f"vm {vm.name} is Running")),
        (f"vm {vm.id} is running", (True, f"vm {vm.id} is Running")),
        (f"vm {vm.name} is not Running", (False, f"vm {vm.name} is Running")),
        (f"vm {vm.name} in Stopped,running", (True, f"vm {vm.name} is Running")),
        (f"vm {vm.name} host_id = {vm.host_id}", (True, f"vm {vm.name} host_id is {vm.host_id}")),
        (f"vm {vm.name} target_host_id is none", (True, f"vm {vm.name} target_host_id is none")),
        (f"vm {vm.name} memory_mib={vm.memory_mib}", (True, f"vm {vm.name} memory_mib is {vm.memory_mib}")),
        (f"host {host.id} cpu >= {host.cpu_used_mhz}", (True, f"host {host.id} cpu is {host.cpu_used_mhz}")),
        (f"host {host.id} cpu<{percent}%", (False, f"host {host.id} cpu is {percent:.1f}%")),
        ("host nix cpu < 1", (False, "host nix cpu is none")),
        ("vm nix is none", (True, "vm nix is none")),
        ("vm 'no such' is not Running", (True, "vm no such is none")),
        ("count vm >= 1 and count vm Error < 0", (False, f"count vm Error is {fleet.counts['vm']['Error']}")),
    ):
        assert _said(fleet, text) == expected, text


def test_every_and_sum_are_of_all_places(journal: list[Transition]) -> None:
    fleet = max((fleet_at(journal, Moment(seq=seq)) for seq in range(0, len(journal), 25)), key=_cpu)
    fullest = max(fleet.places("host"), key=lambda host: host.cpu_used_mhz)  # type: ignore[union-attr]
    assert isinstance(fullest, Host) and fullest.cpu_used_mhz > 0
    assert _said(fleet, f"every host cpu <= {fullest.cpu_used_mhz}")[0]
    holds, said = _said(fleet, f"every host cpu < {fullest.cpu_used_mhz}")
    assert not holds and said.endswith(f" cpu is {fullest.cpu_used_mhz}")
    assert _said(fleet, f"sum host cpu = {_cpu(fleet)}") == (True, f"sum host cpu is {_cpu(fleet)}")
    assert _said(fleet, "sum host cpu > 0%")[0] and not _said(fleet, "sum host cpu > 100%")[0]


def _cpu(fleet: Fleet) -> int:
    rule = next(rule for rule in METERED if rule.thing == "cpu")
    assert all(used(rule, host) <= (total(rule, host) or 0) for host in fleet.places("host"))
    return sum(used(rule, host) for host in fleet.places("host"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no condition"),
        ("vm web", "is no condition"),
        ("is Running", "'nothing' is nothing to look at"),
        ("vm web is", "one value must follow 'is'"),
        ("vm web is in Running", "one value must follow 'is'"),
        ("vm web is Runing", "a vm has no state 'Runing'; its states are: Allocated, Starting"),
        ("vm web hostid is h", "a vm has no 'hostid'; it has id, name"),
        ("count vm Runing = 1", "a vm has no state 'Runing'"),
        ("count car = 1", "is nothing to look at"),
        ("host h disk < 1", "there is no 'disk' of a host; there is cpu, memory"),
        ("host h cpu < many", "< wants a number, not 'many'"),
        ("vm web is Running and", "'' is no condition"),
        ("vm 'web is Running", "No closing quotation"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(text)
    assert reason in str(refused.value)


WORDS = ("vm", "web", "is", "not", "in", "host", "cpu", "<", "3", "%", "and", "count", "every", "'", ",", "none")


@given(st.text(max_size=40) | st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_any_text_is_a_predicate_or_refused(text: str) -> None:
    try:
        predicate = parsed(text)
    except InvalidRequest:
        return
    assert isinstance(predicate(Fleet(PLACES)), Found)


def half_full(fleet: Fleet) -> bool:
    """For `called`."""
    return _cpu(fleet) < 3000


def raising(fleet: Fleet) -> bool:
    """For `called`."""
    raise RuntimeError("no idea")


def test_a_function_of_ones_own_is_asked(journal: list[Transition], monkeypatch: pytest.MonkeyPatch) -> None:
    found = search(journal, called(f"{__name__}:half_full")).broken
    assert found is not None and found.found.said.endswith("half_full gave False")
    with pytest.raises(InvalidRequest, match=r"raising raised RuntimeError\('no idea'\) after transition 0"):
        search(journal, called(f"{__name__}:raising"))
    for name in ("nowhere:at_all", f"{__name__}:nothing", "noname"):
        with pytest.raises(InvalidRequest, match="give MODULE:FUNCTION"):
            called(name)


def test_states_are_known_to_predicates() -> None:
    for machine in RECORDS:
        for state in MACHINES[machine].states:
            parsed(f"count {machine} {state} = 0")
