"""What the index keeps from one decision to the next equals a look at each host at any time: the rows that fit, their
order by room, the words that were said; in small zones with all that can be asked, and in one of several chunks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.engine.orchestrator import fits, hosts, roomiest, rows, slices
from interlock.engine.orchestrator.hosts import HostIndex, HostShortlist
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.slices import CHUNK
from interlock.planners.protocol import CloudView, Demand, Rejected
from interlock.planners.rules import why_not
from interlock.schema.cloud import Cluster, Host, Place, Pod, Zone
from tests.fakes import ZONE, FakeCloud, a_demand, a_host, such_vms
from tests.planned import HOSTS, clouds, demands
from tests.test_host_index import everyone, expected

SMALL = ((roomiest, "LONG", 2), (roomiest, "SAMPLE", 2), (hosts, "FEW", 0), (slices, "STALE", 1), (rows, "RARE", 1))
MORE = ((fits, "KEPT", 2), (fits, "BOOKS", 1), (fits, "PAGES", 1), (rows, "KEPT", 1), (rows, "NOTED", 2))
"""Bounds so low that a few hosts pass them."""


@pytest.fixture(params=[(), SMALL, (*SMALL, *MORE)], ids=["bounds", "small", "smaller"])
def bounds(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in request.param:
            patch.setattr(module, name, value)
        if any(module is fits for module, *_ in request.param):
            patch.setattr(hosts, "KEPT", 2)
        yield


def in_order(wanted: Sequence[Host], demand: Demand) -> list[Host]:
    return sorted(wanted, key=lambda host: (-such_vms(host, demand), host.id))


def agrees(shortlist: HostShortlist, demand: Demand, cloud: FakeCloud) -> None:
    """All that can be asked of a shortlist, against a look at each host."""
    wanted, zone = expected(demand, cloud), cloud.hosts(ZONE)
    assert list(shortlist) == wanted
    assert len(shortlist) == len(wanted)
    assert list(shortlist.roomiest_first()) == in_order(wanted, demand)
    vacant = [host for host in wanted if host.cpu_used_mhz == host.memory_used_mib == 0]
    assert list(shortlist.vacant()) == vacant
    assert list(shortlist.vacant().roomiest_first()) == in_order(vacant, demand)
    in_pod = [host for host in wanted if host.pod_id == "p1"]
    assert list(shortlist.in_pods({"p1"})) == in_pod
    assert list(shortlist.vacant().in_pods({"p1"})) == [host for host in vacant if host.pod_id == "p1"]
    assert list(shortlist.in_pods({"p1", "p2"}).without(["h1"])) == [
        host for host in wanted if host.id != "h1" and host.pod_id in ("p1", "p2")
    ]
    assert list(shortlist.without(["h1"]).roomiest_first()) == [
        host for host in in_order(wanted, demand) if host.id != "h1"
    ]
    causes = shortlist.causes()
    assert sum(number for _, number in causes) == shortlist.left_out()[0] == len(zone) - len(wanted)
    assert all(number >= 0 for _, number in causes)


@pytest.mark.usefixtures("bounds")
@settings(max_examples=40)
@given(
    cloud=clouds(),
    asked=st.lists(demands(), min_size=1, max_size=3),
    steps=st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(0, 14), st.integers(0, 14)), max_size=6),
)
def test_what_is_kept_equals_a_look_at_each_host_after_each_change(
    cloud: FakeCloud, asked: list[Demand], steps: list[tuple[str, int, int]]
) -> None:
    known = {host.id: host for host in everyone(cloud)}
    index = HostIndex(known.values())
    for id, cpu, memory in [("", 0, 0), *steps]:
        if id in known:
            known[id] = msgspec.structs.replace(known[id], cpu_used_mhz=cpu, memory_used_mib=memory)
            index.replace(known[id])
        for demand in asked:
            agrees(index.shortlist(demand), demand, FakeCloud(known.values()))


def told(index: HostIndex, demand: Demand, cloud: CloudView, most: int = 9, but: Sequence[str] = ()) -> list[Rejected]:
    return index.shortlist(demand).told(
        lambda host: Rejected(host.id, why_not(host, demand, cloud) or "nothing"), most, but
    )


@pytest.mark.usefixtures("bounds")
@settings(max_examples=40)
@given(
    cloud=clouds(),
    asked=st.lists(demands(), min_size=1, max_size=3),
    steps=st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(0, 14), st.sampled_from("ab")), max_size=5),
)
def test_words_are_said_again_only_while_they_are_true(
    cloud: FakeCloud, asked: list[Demand], steps: list[tuple[str, int, str]]
) -> None:
    known, vms, placed = {host.id: host for host in everyone(cloud)}, dict(cloud.vms), dict(cloud.placed)
    index = HostIndex(known.values())
    for id, cpu, account in [("", 0, ""), *steps]:
        if id in known:
            known[id] = msgspec.structs.replace(known[id], cpu_used_mhz=cpu)
            vms = {place: number for place, number in vms.items() if place[1] != id} | {(account, id): 1}
            placed[("implicit-dedication", id)] = 1
            index.replace(known[id])
        now = FakeCloud(known.values(), vms=vms, placed=placed, clusters=cloud._clusters.values())
        for demand in (*asked, *(msgspec.structs.replace(each, account_id="b", avoid_hosts={}) for each in asked)):
            left_out = [host for host in now.hosts(ZONE) if host not in expected(demand, now)]
            said = [Rejected(host.id, why_not(host, demand, now) or "nothing") for host in left_out]
            assert told(index, demand, now) == said
            assert told(index, demand, now, 1, ["h1"]) == [each for each in said if each.candidate != "h1"][:1]


# --- many hosts


def a_large_zone(number: int, seed: int) -> dict[str, Host]:
    chance = random.Random(seed)

    def host(each: int) -> Host:
        used = chance.choice((0, 0, chance.randrange(1000)))
        more: dict[str, Any] = {"cpu_used_mhz": used, "memory_used_mib": used and chance.randrange(1000)}
        place: dict[str, Any] = {
            "pod_id": chance.choice(("p1", f"p{each // 64 + 2}")),
            "tags": chance.choice(((), ("ssd",))),
        }
        return a_host(f"h{each:05}", **more, **place, cpu_overcommit=chance.choice((1.0, 1.0, 2.0)))

    return {each.id: each for each in map(host, range(number))}


@pytest.mark.parametrize("seed", range(2))
def test_in_a_zone_of_several_chunks(seed: int) -> None:
    chance, known = random.Random(seed), a_large_zone(CHUNK + 5, seed)
    ids = list(known)
    index = HostIndex(known.values())
    sizes = [(chance.randrange(1, 900), chance.randrange(1, 900), tags) for tags in ((), ("ssd",))] + [(1, 1, ())]
    asked = [
        a_demand(cpu=cpu, memory=memory, host_tags=tags, avoid_hosts=dict.fromkeys(chance.sample(ids, 40), "ill"))
        for cpu, memory, tags in sizes
    ]
    for changes in (0, 1, 30, 3000):
        for id in chance.choices([*ids, *ids[-9:] * 100], k=changes):
            known[id] = msgspec.structs.replace(known[id], cpu_used_mhz=chance.choice((0, chance.randrange(1100))))
            index.replace(known[id])
        now = FakeCloud(known.values())
        for demand in asked:
            agrees(index.shortlist(demand), demand, now)


def test_the_first_of_an_order_is_found_without_ordering_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is chosen in turn, so that the stretch that is kept is used up again and again."""
    monkeypatch.setattr(roomiest, "LONG", 8)
    known = {host.id: host for host in a_large_zone(300, 1).values()}
    index, demand = HostIndex(known.values()), a_demand(cpu=10, memory=10)
    rooms = []
    for _ in range(600):
        first = next(index.shortlist(demand).roomiest_first())
        assert first == in_order(expected(demand, FakeCloud(known.values())), demand)[0]
        rooms.append(such_vms(first, demand))
        used = {"cpu_used_mhz": first.cpu_used_mhz + 10, "memory_used_mib": first.memory_used_mib + 10}
        known[first.id] = msgspec.structs.replace(first, **used)
        index.replace(known[first.id])
    assert all(before >= after for before, after in pairwise(rooms))
    assert rooms[0] > rooms[-1]


def test_words_that_were_said_are_forgotten_when_nobody_knows_whether_they_are_true() -> None:
    """Who is on a host may be read anew without a change of the host."""
    full, demand = a_host("h1", cpu_used_mhz=1000, memory_used_mib=1000), a_demand()
    index = HostIndex([full])
    alone = FakeCloud([full], vms={("b", "h1"): 1}, placed={("implicit-dedication", "h1"): 1})
    assert "alone" in told(index, demand, alone)[0].reason
    assert "alone" in told(index, demand, FakeCloud([full]))[0].reason  # said again
    index.forget_words()
    assert "has 0 free" in told(index, demand, FakeCloud([full]))[0].reason


def test_tenants_that_are_read_anew_are_told_of_though_the_host_holds_as_much() -> None:
    full = a_host("h1", cpu_used_mhz=1000, memory_used_mib=1000)
    places: dict[str, list[Place]] = {
        "zone": [Zone(id=ZONE)],
        "pod": [Pod(id="p1", zone_id=ZONE)],
        "cluster": [Cluster(id="c1", zone_id=ZONE, pod_id="p1")],
        "host": [full],
    }
    inventory, usage = Inventory(places), [("host", "h1", 1000, 1000)]
    for number, (account, words) in enumerate(
        [("b", "by account b alone"), ("c", "by account c alone"), ("a", "0 free")]
    ):
        inventory.reload(usage, [("h1", account, "implicit-dedication", "[]", 1)], [(number,)])
        for _ in range(2):
            [said] = told(inventory._index, a_demand(), inventory)
            assert words in said.reason


def test_a_shortlist_that_is_kept_while_hosts_change_still_answers() -> None:
    known = a_large_zone(200, 2)
    index, demand = HostIndex(known.values()), a_demand(cpu=10, memory=10, host_tags=("ssd",))
    shortlist = index.shortlist(demand)
    members = list(map(_id, shortlist))
    for id in members[:20]:
        known[id] = msgspec.structs.replace(known[id], cpu_used_mhz=995, cpu_overcommit=1.0)
        index.replace(known[id])
    assert list(map(_id, shortlist)) == members
    assert sorted(map(_id, shortlist.roomiest_first())) == members
    assert set(map(_id, shortlist.vacant())) == {id for id in members if not known[id].cpu_used_mhz}
    assert set(map(_id, shortlist.in_pods({"p1"}))) == {id for id in members if known[id].pod_id == "p1"}
    assert len(shortlist.causes()) > 0


def _id(host: Host) -> str:
    return host.id
