"""The ledger: however a record changes, the movements written for it add up to what it holds.

Records change at random here, also in ways no operation would try; every balance is then recounted from the
columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import Account, Domain, Host, StoragePool
from interlock.schema.holdings import (
    COUNTERS,
    FREE,
    LIMITS,
    METERED,
    UNIQUE,
    Limited,
    Metered,
    Movement,
    Unique,
    movements,
)
from interlock.schema.machines import MACHINES
from interlock.schema.records import RECORDS, Nic, Vm, Volume

RESOURCES: dict[str, type[msgspec.Struct]] = {
    "host": Host,
    "storage_pool": StoragePool,
    "account": Account,
    "domain": Domain,
}


def a_vm(**columns: Any) -> Vm:
    """A VM that differs from others in its holdings only."""
    return Vm(**{**COMMON[Vm], "id": "vm-1", "name": "web", **columns})


def a_nic(**columns: Any) -> Nic:
    """A NIC that differs from others in its holdings only."""
    return Nic(**{**COMMON[Nic], "id": "nic-1", "vm_id": "vm-1", **columns})


def a_volume(**columns: Any) -> Volume:
    """A volume that differs from others in its holdings only."""
    return Volume(**{**COMMON[Volume], "id": "volume-1", "vm_id": "vm-1", **columns})


def _plain(hint: Any) -> Any:
    """The emptiest value of a field."""
    if type(None) in get_args(hint):
        return None
    return (get_origin(hint) or hint)()


COMMON = {kind: {name: _plain(hint) for name, hint in get_type_hints(kind).items()} for kind in (Vm, Nic, Volume)}

small = st.integers(0, 3)
hosts, accounts = st.sampled_from([None, "h1", "h2"]), st.sampled_from([None, "acme", "umbrella"])
VERSIONS: dict[str, st.SearchStrategy[msgspec.Struct]] = {
    "vm": st.builds(
        a_vm,
        host_id=hosts,
        target_host_id=hosts,
        charged_to=accounts,
        cpu_cores=small,
        memory_mib=small,
        cpu_held_mhz=small,
        memory_held_mib=small,
    ),
    "nic": st.builds(
        a_nic,
        network_id=st.sampled_from(["net1", "net2"]),
        ip_address=st.sampled_from([None, "10.0.0.1", "10.0.0.2"]),
        ip6_address=st.sampled_from([None, "fd00::1", "fd00::2"]),
        mac_address=st.sampled_from([None, "02:00:00:00:00:01", "02:00:00:00:00:02"]),
        host_name=st.sampled_from([None, "web", "two"]),
        charged_to=accounts,
    ),
    "volume": st.builds(a_volume, pool_id=st.sampled_from([None, "p1", "p2"]), charged_to=accounts, size_mib=small),
}
histories = st.sampled_from(sorted(VERSIONS)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(VERSIONS[name], min_size=1, max_size=8))
)
History = tuple[str, list[msgspec.Struct]]


def held(record: Any) -> Counter[tuple[str, str]]:
    """What a record holds of each unit, read off its columns by hand."""
    units: Counter[tuple[str, str]] = Counter()
    for thing, where, amount in (*_placed(record), *_counted(record)):
        if where:
            units[thing, where] += amount
    return units


def _placed(record: Any) -> Iterable[tuple[str, str | None, int]]:
    """What it holds of places."""
    if isinstance(record, Vm):
        for host in (record.host_id, record.target_host_id):
            yield from (("cpu", host, record.cpu_held_mhz), ("memory", host, record.memory_held_mib))
    elif isinstance(record, Volume):
        yield "space", record.pool_id, record.size_mib
    else:
        yield "mac", record.mac_address, 1
        for thing, value in (("ip", record.ip_address), ("ip6", record.ip6_address), ("name", record.host_name)):
            yield thing, value and f"{record.network_id}/{value}", 1


def _counted(record: Any) -> Iterable[tuple[str, str | None, int]]:
    """What counts against the limits of an account."""
    who = record.charged_to
    if isinstance(record, Vm):
        return ("vms", who, 1), ("cores", who, record.cpu_cores), ("ram", who, record.memory_mib)
    if isinstance(record, Volume):
        return ("volumes", who, 1), ("storage", who, record.size_mib)
    return (("ips", who, 1),)


def replay(name: str, holder: str, versions: Sequence[msgspec.Struct]) -> list[Movement]:
    """All movements of one record's life."""
    steps = pairwise([None, *versions])
    return [each for before, after in steps if after for each in movements(name, holder, before, after)]


def balance(entries: Iterable[Movement]) -> Counter[tuple[str, str, str]]:
    """How much each owner has of each unit, after the movements."""
    owned: Counter[tuple[str, str, str]] = Counter()
    for entry in entries:
        owned[entry.thing, entry.where, entry.giver] -= entry.amount
        owned[entry.thing, entry.where, entry.taker] += entry.amount
    return owned


@given(histories)
def test_the_movements_add_up_to_what_is_held(history: History) -> None:
    name, versions = history
    owned = balance(replay(name, "holder", versions))
    expected = held(versions[-1])
    for thing, where in {unit[:2] for unit in owned} | set(expected):
        assert owned[thing, where, "holder"] == expected[thing, where]


@given(histories)
def test_what_one_takes_another_gives(history: History) -> None:
    entries = replay(history[0], "holder", history[1])
    owned = balance(entries)
    for thing, where in {(entry.thing, entry.where) for entry in entries}:
        assert owned[thing, where, "holder"] + owned[thing, where, FREE] == 0
    assert all((entry.giver == FREE) != (entry.taker == FREE) for entry in entries)


@given(histories)
def test_nobody_gives_what_he_does_not_hold(history: History) -> None:
    owned: Counter[tuple[str, str]] = Counter()
    for entry in replay(history[0], "holder", history[1]):
        unit = (entry.thing, entry.where)
        owned[unit] += entry.amount if entry.taker == "holder" else -entry.amount
        assert owned[unit] >= 0


@given(histories, histories)
def test_holders_do_not_mix(one: History, other: History) -> None:
    together = balance(replay(one[0], "one", one[1]) + replay(other[0], "other", other[1]))
    for holder, history in (("one", one), ("other", other)):
        expected = held(history[1][-1])
        mine = {unit[:2]: amount for unit, amount in together.items() if unit[2] == holder and amount}
        assert mine == {unit: amount for unit, amount in expected.items() if amount}


@given(histories)
def test_a_change_of_nothing_held_moves_nothing(history: History) -> None:
    name, versions = history
    for version in versions:
        later = msgspec.structs.replace(version, state="Other", version=2, since=7)
        assert not list(movements(name, "holder", version, later))


def test_an_operation_holds_nothing() -> None:
    class Job(msgspec.Struct):
        host_id: str = "h1"

    assert not list(movements("operation", "op-1", None, Job()))


# Examples


def test_taking_a_host() -> None:
    before = a_vm(host_id=None, cpu_mhz=1000, memory_mib=512, cpu_held_mhz=500, memory_held_mib=512)
    after = msgspec.structs.replace(before, host_id="h1")
    assert list(movements("vm", "vm-1", before, after)) == [
        Movement("cpu", "h1", FREE, "vm-1", 500),
        Movement("memory", "h1", FREE, "vm-1", 512),
    ]


def test_growing_in_place_gives_back_the_old_size_and_takes_the_new() -> None:
    before, after = a_volume(pool_id="p1", size_mib=10), a_volume(pool_id="p1", size_mib=30)
    assert list(movements("volume", "volume-1", before, after)) == [
        Movement("space", "p1", "volume-1", FREE, 10),
        Movement("space", "p1", FREE, "volume-1", 30),
    ]


def test_an_address_belongs_to_its_network() -> None:
    nic = a_nic(network_id="net1", ip_address="10.0.0.1")
    assert list(movements("nic", "nic-1", None, nic)) == [Movement("ip", "net1/10.0.0.1", FREE, "nic-1", 1)]


def test_a_vm_that_migrates_holds_both_hosts() -> None:
    before = a_vm(host_id="h1", cpu_held_mhz=500, memory_held_mib=512)
    after = msgspec.structs.replace(before, target_host_id="h2")
    assert list(movements("vm", "vm-1", before, after)) == [
        Movement("cpu", "h2", FREE, "vm-1", 500),
        Movement("memory", "h2", FREE, "vm-1", 512),
    ]


def test_a_vm_that_has_migrated_gives_both_back_before_it_takes_the_new_one() -> None:
    before = a_vm(host_id="h1", target_host_id="h2", cpu_held_mhz=500, memory_held_mib=512)
    after = msgspec.structs.replace(before, host_id="h2", target_host_id=None)
    moved = [(each.thing, each.where, each.taker) for each in movements("vm", "vm-1", before, after)]
    given_back = [(thing, host, FREE) for host in ("h1", "h2") for thing in ("cpu", "memory")]
    assert sorted(moved[:4]) == sorted(given_back)
    assert moved[4:] == [("cpu", "h2", "vm-1"), ("memory", "h2", "vm-1")]


def test_a_vm_that_changes_hands_is_counted_for_the_new_owner() -> None:
    before = a_vm(charged_to="acme", cpu_cores=2, memory_mib=512)
    after = msgspec.structs.replace(before, charged_to="umbrella")
    assert list(movements("vm", "vm-1", before, after)) == [
        Movement("vms", "acme", "vm-1", FREE, 1),
        Movement("cores", "acme", "vm-1", FREE, 2),
        Movement("ram", "acme", "vm-1", FREE, 512),
        Movement("vms", "umbrella", FREE, "vm-1", 1),
        Movement("cores", "umbrella", FREE, "vm-1", 2),
        Movement("ram", "umbrella", FREE, "vm-1", 512),
    ]


# The table


@pytest.mark.parametrize("rule", METERED, ids=lambda rule: f"{rule.holder}-{rule.key}-{rule.thing}")
def test_a_metered_rule_names_columns_that_exist(rule: Metered) -> None:
    assert rule.holder in MACHINES
    assert {rule.key, rule.amount or rule.key} <= set(RECORDS[rule.holder].__struct_fields__)
    columns = set(RESOURCES[rule.resource].__struct_fields__)
    assert {rule.used, rule.total, rule.overcommit or rule.used} <= columns


@pytest.mark.parametrize("rule", LIMITS, ids=lambda rule: rule.thing)
def test_what_an_account_is_limited_in_its_domain_is_as_well(rule: Limited) -> None:
    assert {rule.used, rule.total} <= set(Account.__struct_fields__) & set(Domain.__struct_fields__)
    assert rule.used in COUNTERS["account"]
    assert rule.used in COUNTERS["domain"]


@pytest.mark.parametrize("rule", UNIQUE, ids=lambda rule: rule.thing)
def test_a_unique_rule_names_columns_that_exist(rule: Unique) -> None:
    assert rule.holder in MACHINES
    assert {rule.key, *rule.scope} <= set(RECORDS[rule.holder].__struct_fields__)
