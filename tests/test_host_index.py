"""The index of hosts equals filtering them, also after any number of changes; and its columns equal comparing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.engine.orchestrator.hosts import HostIndex, Terms
from interlock.engine.orchestrator.slices import (
    CHUNK,
    OUT,
    Column,
    all_of,
    both,
    count,
    each,
    either,
    flagged,
    flags_of,
    less,
    rows_of,
    within,
    without,
)
from interlock.planners.protocol import Demand
from interlock.schema.cloud import Host
from tests.fakes import ZONE, FakeCloud, a_demand, a_host, has_tags_and_room, such_vms
from tests.planned import CLUSTERS, HOSTS, clouds, demands

numbers = st.integers(-3, 40)


@settings(max_examples=30)
@given(st.sets(st.integers(0, 3 * CHUNK), max_size=20), st.sets(st.integers(0, 3 * CHUNK), max_size=20))
def test_sets_of_rows_are_sets_and_told_in_order(some: set[int], others: set[int]) -> None:
    length = 3 * CHUNK + 1
    rows, more = rows_of(some, length), rows_of(others, length)
    assert list(each(rows)) == list(flagged(flags_of(rows, length))) == sorted(some)
    assert set(flagged(flags_of(rows, length), OUT)) == set(range(length)) - some
    assert count(rows) == len(some)
    assert set(each(both(rows, more))) == some & others
    assert set(each(either(rows, more))) == some | others
    assert set(each(less(rows, more))) == some - others
    flags = flags_of(rows, length)
    for narrowed, wanted in ((without(flags, others), some - others), (within(flags, others), some & others)):
        assert set(flagged(narrowed[0])) == wanted
    assert without(flags, others)[1] == len(some & others) == within(flags, others)[1]
    assert set(flagged(flags)) == some


@pytest.mark.parametrize("length", [0, 1, 7, CHUNK - 1, CHUNK, CHUNK + 1])
def test_all_rows_are_all_there_are(length: int) -> None:
    assert list(each(all_of(length))) == list(range(length))
    assert list(flagged(flags_of(all_of(length), length))) == list(range(length))
    assert list(flagged(flags_of(all_of(length), length), OUT)) == []


@given(first=st.lists(numbers, max_size=9), changes=st.lists(st.tuples(st.integers(0, 8), st.integers(-3, 3000))))
def test_a_column_equals_comparing_row_by_row(first: list[int], changes: list[tuple[int, int]]) -> None:
    column, plain = Column(first), list(first)
    for row, number in changes:
        if row < len(plain):
            column.put(row, number)
            plain[row] = number
    for least in range(-1, 45):
        assert list(each(column.at_least(least))) == [
            row for row, number in enumerate(plain) if number >= max(0, least)
        ]
    assert column.numbers == plain
    assert column.most >= max(plain, default=0)


def expected(demand: Demand, cloud: FakeCloud) -> list[Host]:
    """What a shortlist must have, by a look at each host."""

    def may_do(host: Host) -> bool:
        choices = (demand.only_pod, host.pod_id), (demand.only_cluster, host.cluster_id), (demand.only_host, host.id)
        avoided = host.pod_id in demand.avoid_pods or host.driver in demand.avoid_drivers
        if avoided or host.id in demand.avoid_hosts or any(only not in (None, is_) for only, is_ in choices):
            return False
        return has_tags_and_room(host, demand) and (demand.only_hosts is None or host.id in demand.only_hosts)

    return [host for host in cloud.hosts(ZONE) if may_do(host)]


used = st.integers(0, 14)


def everyone(cloud: FakeCloud) -> list[Host]:
    return [*cloud.hosts(ZONE), *cloud.hosts("elsewhere")]


@given(
    cloud=clouds(),
    demand=demands(),
    changes=st.lists(st.tuples(st.sampled_from(HOSTS), used, used), max_size=8),
    some=st.sets(st.sampled_from(HOSTS)),
)
def test_a_shortlist_equals_filtering_after_any_changes(
    cloud: FakeCloud, demand: Demand, changes: list[tuple[str, int, int]], some: set[str]
) -> None:
    index, hosts = HostIndex(reversed(everyone(cloud))), {host.id: host for host in everyone(cloud)}
    for id, cpu, memory in changes:
        if id in hosts:
            hosts[id] = msgspec.structs.replace(hosts[id], cpu_used_mhz=cpu, memory_used_mib=memory)
            index.replace(hosts[id])
    now = FakeCloud(hosts.values())
    wanted, shortlist = expected(demand, now), index.shortlist(demand)
    assert list(shortlist) == wanted
    assert [host.id for host in now.hosts(ZONE) if host.id in shortlist] == [host.id for host in wanted]
    assert list(shortlist.roomiest_first()) == sorted(wanted, key=lambda host: (-such_vms(host, demand), host.id))
    assert list(shortlist.vacant()) == [host for host in wanted if host.cpu_used_mhz == host.memory_used_mib == 0]
    assert list(shortlist.without(some)) == [host for host in wanted if host.id not in some]
    assert list(shortlist.in_pods({"p2", "gone"})) == [host for host in wanted if host.pod_id == "p2"]
    assert list(shortlist.in_pods({"p1"}).without(some).roomiest_first()) == [
        host for host in shortlist.roomiest_first() if host.pod_id == "p1" and host.id not in some
    ]
    number, others = shortlist.left_out()
    assert list(others) == [host for host in now.hosts(ZONE) if host not in wanted]
    assert number == len(now.hosts(ZONE)) - len(wanted)


labels = st.sets(st.sampled_from([*(("cluster", id) for id in CLUSTERS), ("odd", True), ("odd", False), ("no", 1)]))


@given(cloud=clouds(), every=labels, never=labels, some=st.none() | labels)
def test_labels_narrow_a_shortlist(cloud: FakeCloud, every: set[Any], never: set[Any], some: set[Any] | None) -> None:
    def of(host: Host) -> set[tuple[object, ...]]:
        return {("odd", len(host.id) == 3)}

    demand = a_demand(cpu=1, memory=1)
    found = HostIndex(everyone(cloud), of).shortlist(
        demand, Terms(tuple(every), tuple(never), None if some is None else frozenset(some))
    )
    assert list(found) == [
        host
        for host in cloud.hosts(ZONE)
        if has_tags_and_room(host, demand)
        for has in [{("cluster", host.cluster_id), *of(host)}]
        if every <= has and not never & has and (some is None or some & has)
    ]


def test_a_shortlist_stays_as_it_was_made() -> None:
    index = HostIndex([a_host("h1"), a_host("h2")])
    shortlist = index.shortlist(a_demand())
    index.replace(a_host("h1", cpu_used_mhz=1000))
    assert [host.id for host in shortlist] == ["h1", "h2"]
    assert [host.id for host in index.shortlist(a_demand())] == ["h2"]


def test_a_zone_that_has_no_hosts_has_an_empty_shortlist() -> None:
    shortlist = HostIndex([a_host(zone_id="elsewhere")]).shortlist(a_demand())
    assert list(shortlist) == list(shortlist.roomiest_first()) == []
    assert shortlist.left_out()[0] == 0


def test_loading_forgets_what_was() -> None:
    index = HostIndex([a_host("h1")])
    index.load([a_host("h2")])
    assert [host.id for host in index.shortlist(a_demand())] == ["h2"]
    assert "h1" not in index.shortlist(a_demand())
