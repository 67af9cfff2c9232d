"""The database refuses by itself to give anything scarce twice, or more of it than there is, whoever asks.

Bare SQL, as in `test_guards.py`.
"""

from __future__ import annotations

import pytest

from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from tests.bare import value
from tests.hand import HELD, Hand, Row

# Everything scarce has one owner


async def test_a_second_active_operation_on_one_vm_is_refused(hand: Hand) -> None:
    async with hand.undone():
        await hand.loose("operation")
        said = await hand.refusal(*hand.born("operation", id="second"))
        assert "operation.vm_id" in said or "operation_active_once" in said


async def test_a_second_active_operation_on_one_volume_is_refused(hand: Hand) -> None:
    """Also when one of them is about nothing else, and the other about a VM."""
    async with hand.undone():
        await hand.loose("volume")
        await hand.run(*hand.born("operation", vm_id=None, volume_id="loose-volume"))
        said = await hand.refusal(*hand.born("operation", id="second", volume_id="loose-volume"))
        assert "operation.volume_id" in said or "operation_volume_once" in said


@pytest.mark.parametrize("state", MACHINES["operation"].states)
async def test_an_operation_is_active_until_it_is_over(hand: Hand, state: str) -> None:
    over = MACHINES["operation"].states[state].stability is Stability.TERMINAL
    async with hand.undone():
        await hand.loose("operation")
        await hand.walk("operation", "loose-operation", state)
        second = hand.born("operation", id="second")
        if over:
            await hand.run(*second)
        else:
            assert "operation" in await hand.refusal(*second)


OWNED = {
    "ip_address": ("nic.network_id, nic.ip_address", "nic_ip_once"),
    "ip6_address": ("nic.network_id, nic.ip6_address", "nic_ip6_once"),
    "mac_address": ("nic.mac_address", "nic_mac_once"),
    "host_name": ("nic.network_id, nic.host_name", "nic_name_once"),
}
"""What a NIC has alone, and the words that say so."""


@pytest.mark.parametrize("column", OWNED)
async def test_an_address_is_not_given_twice(hand: Hand, column: str) -> None:
    await no_address_twice(hand, column, "")


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("column", OWNED)
async def test_an_address_is_not_taken_from_its_owner(hand: Hand, column: str) -> None:
    await no_address_twice(hand, column, " OR REPLACE")


async def no_address_twice(hand: Hand, column: str, how: str) -> None:
    """Neither a new NIC nor one that moves may have what another one has."""
    mine = HELD[column]
    async with hand.undone():
        await hand.loose("nic")
        await hand.move("nic", "loose-nic", "Reserving", **{column: mine})
        entry, insert = hand.born("nic", id="second", **{column: mine})
        said = await hand.refusal(entry, insert.replace("INSERT", f"INSERT{how}"))
        assert any(words in said for words in OWNED[column])
        other = await hand.part("nic", "two")
        change = hand.changed("nic", other, state="Releasing", **{column: mine}).replace("UPDATE", f"UPDATE{how}")
        said = await hand.refusal(hand.journaled("nic", other, destination="Releasing"), change)
        assert any(words in said for words in OWNED[column])


async def test_two_networks_may_have_the_same_address(hand: Hand) -> None:
    mine = await hand.part("nic", "web")
    await hand.loose()
    await hand.run(*hand.born("nic", network_id="other", ip_address=mine["ip_address"]))
    assert await value(hand.database, f"SELECT count(*) FROM nic WHERE ip_address = '{mine['ip_address']}'") == 2


async def test_a_name_is_free_again_when_its_vm_is_gone(hand: Hand) -> None:
    web = await hand.named("web")
    twin = hand.born("vm", name="web", name_scope=web["name_scope"])
    said = await hand.refusal(*twin)
    assert "vm.name" in said or "vm_name_once" in said
    await hand.loose()
    await hand.move("vm", "loose-vm", "Error")
    await hand.run(*hand.born("vm", id="twin"))
    row = await hand.row("vm", "twin")
    renamed = hand.changed("vm", row, state="Destroyed", charged_to=None, name="web", name_scope=web["name_scope"])
    said = await hand.refusal(hand.journaled("vm", row, destination="Destroyed"), renamed)
    assert "vm.name" in said or "vm_name_once" in said


# Capacity is neither overdrawn nor invented


ROOM = "SELECT cpu_mhz - cpu_used_mhz FROM host WHERE id = 'h-2'"


@pytest.mark.parametrize("key", ["host_id", "target_host_id"])
async def test_a_host_is_not_filled_over_what_it_has(hand: Hand, key: str) -> None:
    room = await value(hand.database, ROOM)
    async with hand.undone():
        await hand.run(*hand.born("vm", cpu_held_mhz=room + 1))
        row = await hand.row("vm", "loose-vm")
        said = await hand.refusal(hand.journaled("vm", row), hand.changed("vm", row, **{key: "h-2"}))
        assert "host_cpu_within_capacity" in said


@pytest.mark.parametrize("key", ["host_id", "target_host_id"])
async def test_a_host_is_filled_to_the_brim(hand: Hand, key: str) -> None:
    room = await value(hand.database, ROOM)
    await hand.run(*hand.born("vm", cpu_held_mhz=room))
    await hand.move("vm", "loose-vm", "Allocated", **{key: "h-2"})
    assert await value(hand.database, ROOM) == 0


async def test_overcommit_is_in_what_is_held_and_makes_no_host_larger(hand: Hand) -> None:
    """A VM that sees more than all the host has may run there, as long as it holds no more."""
    assert await value(hand.database, "SELECT cpu_overcommit FROM host WHERE id = 'h-2'") == 2
    room = await value(hand.database, ROOM)
    await hand.run(*hand.born("vm", cpu_mhz=2 * room, cpu_held_mhz=room))
    await hand.move("vm", "loose-vm", "Starting")
    assert await value(hand.database, ROOM) == 0


@pytest.mark.parametrize(
    ("column", "amount", "constraint"),
    [
        ("cpu_used_mhz", "-1", "host_cpu_within_capacity"),
        ("cpu_used_mhz", "cpu_mhz + 1", "host_cpu_within_capacity"),
        ("memory_used_mib", "-1", "host_memory_within_capacity"),
        ("memory_used_mib", "memory_mib + 1", "host_memory_within_capacity"),
        ("cpu_mhz", "cpu_used_mhz - 1", "host_cpu_within_capacity"),
        ("memory_mib", "memory_used_mib - 1", "host_memory_within_capacity"),
    ],
)
async def test_what_is_held_of_a_host_stays_between_nothing_and_all(
    hand: Hand, column: str, amount: str, constraint: str
) -> None:
    web = await hand.named("web")
    said = await hand.refusal(f"UPDATE host SET {column} = {amount} WHERE id = '{web['host_id']}'")
    assert constraint in said


@pytest.mark.parametrize(("column", "amount"), [("used_mib", -1), ("used_mib", 1001), ("size_mib", 199)])
async def test_what_is_held_of_a_pool_stays_between_nothing_and_all(hand: Hand, column: str, amount: int) -> None:
    said = await hand.refusal(f"UPDATE storage_pool SET {column} = {amount} WHERE id = 'nfs'")
    assert "storage_pool_space_within_capacity" in said


async def test_a_pool_is_not_filled_over_its_total(hand: Hand) -> None:
    async with hand.undone():
        await hand.loose()
        await hand.run(*hand.born("volume", size_mib=801))
        row = await hand.row("volume", "loose-volume")
        said = await hand.refusal(
            hand.journaled("volume", row, destination="Creating"),
            hand.changed("volume", row, state="Creating", pool_id="nfs"),
        )
        assert "storage_pool_space_within_capacity" in said


async def test_what_is_held_is_counted_when_it_is_taken_moved_resized_and_given_back(hand: Hand) -> None:
    await hand.run("UPDATE host SET cpu_mhz = 10000, memory_mib = 100000")
    await hand.loose()
    before = await used(hand)
    steps: tuple[tuple[Row, tuple[int, ...]], ...] = (
        ({"host_id": "h-2"}, (0, 0, 500, 1024)),
        ({"cpu_held_mhz": 300, "memory_held_mib": 2000}, (0, 0, 300, 2000)),
        ({"cpu_held_mhz": 100, "memory_held_mib": 10}, (0, 0, 100, 10)),
        ({"cpu_mhz": 7, "memory_mib": 7}, (0, 0, 100, 10)),
        ({"target_host_id": "h-1"}, (100, 10, 100, 10)),
        ({"cpu_held_mhz": 200}, (200, 10, 200, 10)),
        ({"host_id": "h-1", "target_host_id": None}, (200, 10, 0, 0)),
        ({"host_id": "h-2", "cpu_held_mhz": 50}, (0, 0, 50, 10)),
        ({"host_id": None}, (0, 0, 0, 0)),
    )
    for columns, more in steps:
        row = await hand.row("vm", "loose-vm")
        await hand.run(hand.journaled("vm", row), hand.changed("vm", row, **columns))
        assert await used(hand) == tuple(map(sum, zip(before, more, strict=True))), columns


async def used(hand: Hand) -> tuple[int, ...]:
    """CPU and memory that are held of each host."""
    rows = await hand.database.rows("SELECT cpu_used_mhz, memory_used_mib FROM host ORDER BY id")
    return tuple(amount for row in rows for amount in row)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["OR IGNORE", "OR FAIL", "OR REPLACE", "OR ABORT"])
async def test_no_conflict_clause_lets_a_vm_take_what_is_not_there(hand: Hand, how: str) -> None:
    web = await hand.named("web")
    greedy = hand.changed("vm", web, cpu_held_mhz=1_000_000).replace("UPDATE", f"UPDATE {how}")
    said = await hand.refusal(hand.journaled("vm", web), greedy)
    assert "host_cpu_within_capacity" in said
    for key in ("host_id", "target_host_id"):
        nowhere = hand.changed("vm", web, **{key: "no-such-host"}).replace("UPDATE", f"UPDATE {how}")
        assert "within_capacity" in await hand.refusal(hand.journaled("vm", web), nowhere)
