"""The database refuses by itself what the machines, the interlocks and the ledger do not allow, whoever asks.

Everything here is bare SQL, as from a client. Each test makes one thing wrong about a change that is right otherwise,
looks at the words of the refusal, and at every row of every table: nothing has changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from interlock.schema.interlocks import INTERLOCKS, Holds, HoldsNo, Interlock, Need, Related
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from tests.bare import Refused, bare, literal, value
from tests.hand import HELD, Hand, path, what_it_holds

every_machine = pytest.mark.parametrize("machine", MACHINES)
CHILDREN = ("nic", "volume", "operation")


@pytest.fixture
async def hand(lived_url: str) -> AsyncIterator[Hand]:
    """A hand on a database where the VMs `web` and `two` run."""
    async with bare(lived_url) as database:
        yield Hand(database)


async def a_part(hand: Hand, machine: str) -> dict[str, Any]:
    """The VM `web`, or its NIC, volume or operation."""
    return await (hand.named("web") if machine == "vm" else hand.part(machine, "web"))


async def loose(hand: Hand, *machines: str) -> None:
    """New entities, with nobody around them."""
    for machine in ("vm", *machines):
        await hand.run(*hand.born(machine))


# A state moves only along its table


async def test_an_illegal_state_is_refused(hand: Hand) -> None:
    said = await hand.refusal("UPDATE vm SET state = 'Expunged' WHERE name = 'web'")
    assert "interlock: illegal: the vm machine has no such transition" in said


async def test_a_state_that_does_not_exist_is_refused(hand: Hand) -> None:
    assert "illegal" in await hand.refusal("UPDATE vm SET state = 'Sleeping' WHERE name = 'web'")


@every_machine
async def test_every_step_that_is_not_in_the_table_is_refused_and_every_other_one_is_accepted(
    hand: Hand, machine: str
) -> None:
    states = MACHINES[machine].states
    accepted = set()
    async with hand.undone():
        await loose(hand, *({machine} - {"vm"}))
        for source in states:
            async with hand.undone():
                await hand.walk(machine, f"loose-{machine}", source)
                accepted |= {(source, each) for each in states if await may_step(hand, machine, each)}
    assert accepted == set(MACHINES[machine].steps())


async def may_step(hand: Hand, machine: str, state: str) -> bool:
    """Whether the loose entity may step into a state, all else being right. It is not left there."""
    row = await hand.row(machine, f"loose-{machine}")
    async with hand.undone():
        await hand.run(hand.journaled(machine, row, destination=state))
        change = hand.changed(machine, row, state=state, **what_it_holds(machine, state))
        try:
            async with hand.undone(only="postgresql"):
                await hand.run(change)
                return True
        except Refused as refused:
            assert f"the {machine} machine has no such transition" in str(refused)
        assert await hand.row(machine, row["id"]) == row
    return False


# Only together with its journal row, and only from the version that was read


async def test_a_legal_state_without_a_journal_row_is_refused(hand: Hand) -> None:
    web = await hand.named("web")
    said = await hand.refusal(hand.changed("vm", web, state="Stopping"))
    assert "interlock: unjournaled: no change of a vm" in said


async def test_a_legal_state_without_a_version_is_refused(hand: Hand) -> None:
    said = await hand.refusal("UPDATE vm SET state = 'Stopping' WHERE name = 'web'")
    assert "interlock: stale" in said


@pytest.mark.parametrize("version", ["version", "version + 2", "version - 1", "NULL"])
async def test_any_version_but_the_next_is_refused(hand: Hand, version: str) -> None:
    web = await hand.named("web")
    said = await hand.refusal(
        hand.journaled("vm", web, destination="Stopping"),
        hand.changed("vm", web, state="Stopping").replace(f"version = {web['version'] + 1}", f"version = {version}"),
    )
    assert "interlock: stale" in said or "interlock: unjournaled" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"hash": "another"},
        {"machine": "nic"},
        {"source": "Stopped"},
        {"destination": "Migrating"},
        {"version": 99},
        {"entity_id": "another"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_journal_row_that_tells_something_else_does_not_count(hand: Hand, wrong: dict[str, Any]) -> None:
    web = await hand.named("web")
    said = await hand.refusal(
        hand.journaled("vm", web, **{"destination": "Stopping", **wrong}), hand.changed("vm", web, state="Stopping")
    )
    assert "interlock: unjournaled" in said


@every_machine
async def test_an_attribute_does_not_change_without_a_version(hand: Hand, machine: str) -> None:
    said = await hand.refusal(f"UPDATE {machine} SET created_at = created_at + 1")
    assert f"interlock: stale: this {machine} has moved on" in said or f"the {machine} machine has no such" in said


@every_machine
async def test_an_id_never_changes(hand: Hand, machine: str) -> None:
    row = await a_part(hand, machine)
    said = await hand.refusal(
        hand.journaled(machine, row, entity_id="another"), hand.changed(machine, row, id="another")
    )
    assert "illegal" in said or "stale" in said


async def test_what_is_journaled_and_legal_is_accepted(hand: Hand) -> None:
    await hand.move("vm", (await hand.named("web"))["id"], "Stopping")
    assert (await hand.named("web"))["state"] == "Stopping"


# A new entity begins at the beginning


@every_machine
async def test_an_insert_in_the_first_state_is_accepted(hand: Hand, machine: str) -> None:
    await loose(hand, *({machine} - {"vm"}))
    assert (await hand.row(machine, f"loose-{machine}"))["version"] == 1


@every_machine
async def test_an_insert_in_any_other_state_is_refused(hand: Hand, machine: str) -> None:
    async with hand.undone():
        if machine != "vm":
            await loose(hand)
        for state in MACHINES[machine].states:
            if state != MACHINES[machine].initial:
                said = await hand.refusal(*hand.born(machine, state=state))
                assert f"a new {machine} begins in {MACHINES[machine].initial} with version 1" in said


@every_machine
async def test_an_insert_with_another_version_is_refused(hand: Hand, machine: str) -> None:
    async with hand.undone():
        if machine != "vm":
            await loose(hand)
        entry, insert = hand.born(machine, version=2)
        assert "with version 1" in await hand.refusal(entry, insert)


@every_machine
async def test_an_insert_without_a_journal_row_is_refused(hand: Hand, machine: str) -> None:
    async with hand.undone():
        if machine != "vm":
            await loose(hand)
        _, insert = hand.born(machine)
        assert "interlock: unjournaled" in await hand.refusal(insert)


# What was written stays


async def test_the_journal_refuses_update(hand: Hand) -> None:
    assert "interlock: append-only" in await hand.refusal("UPDATE journal SET actor = 'nobody' WHERE seq = 1")


async def test_the_journal_refuses_delete(hand: Hand) -> None:
    assert "interlock: append-only" in await hand.refusal("DELETE FROM journal WHERE seq = 1")
    assert "interlock: append-only" in await hand.refusal("DELETE FROM journal")


@every_machine
async def test_an_entity_is_never_deleted(hand: Hand, machine: str) -> None:
    assert f"rows of {machine} are never deleted" in await hand.refusal(f"DELETE FROM {machine}")


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", ["journal", *MACHINES])
async def test_truncate_is_refused(hand: Hand, table: str) -> None:
    said = await hand.refusal(f"TRUNCATE {table} CASCADE")
    assert "interlock: append-only" in said


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_an_upsert_does_not_change_the_journal(hand: Hand) -> None:
    again = "INSERT INTO journal SELECT * FROM journal WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'"
    assert "interlock: append-only" in await hand.refusal(again)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("verb", ["INSERT", "REPLACE", "INSERT OR REPLACE"])
async def test_a_journal_row_is_not_replaced(hand: Hand, verb: str) -> None:
    for key in ("seq", "(SELECT max(seq) + 1 FROM journal)"):
        columns = [row[1] for row in await hand.database.rows("PRAGMA table_info(journal)")]
        listed = ", ".join({"seq": key, "actor": "'nobody'"}.get(each, each) for each in columns)
        said = await hand.refusal(f"{verb} INTO journal SELECT {listed} FROM journal WHERE seq = 3")
        assert "UNIQUE constraint failed: journal." in said


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@every_machine
async def test_an_entity_is_not_replaced(hand: Hand, machine: str) -> None:
    row = await a_part(hand, machine)
    first = await value(
        hand.database, f"SELECT hash FROM journal WHERE entity_id = {literal(row['id'])} AND version = 1"
    )
    reset = {**row, "state": MACHINES[machine].initial, "version": 1, "hash": first}
    said = await hand.refusal(hand.inserted(machine, reset, "REPLACE"))
    assert f"UNIQUE constraint failed: {machine}.id" in said


# Everything scarce has one owner


async def test_a_second_active_operation_on_one_vm_is_refused(hand: Hand) -> None:
    async with hand.undone():
        await loose(hand, "operation")
        said = await hand.refusal(*hand.born("operation", id="second"))
        assert "operation.vm_id" in said or "operation_active_once" in said


@pytest.mark.parametrize("state", MACHINES["operation"].states)
async def test_an_operation_is_active_until_it_is_over(hand: Hand, state: str) -> None:
    over = MACHINES["operation"].states[state].stability is Stability.TERMINAL
    async with hand.undone():
        await loose(hand, "operation")
        await hand.walk("operation", "loose-operation", state)
        second = hand.born("operation", id="second")
        if over:
            await hand.run(*second)
        else:
            assert "operation" in await hand.refusal(*second)


OWNED = {
    "ip_address": ("nic.network_id, nic.ip_address", "nic_ip_once"),
    "mac_address": ("nic.mac_address", "nic_mac_once"),
}


@pytest.mark.parametrize("column", OWNED)
async def test_an_address_is_not_given_twice(hand: Hand, column: str) -> None:
    await no_address_twice(hand, column, "")


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("column", OWNED)
async def test_an_address_is_not_taken_from_its_owner(hand: Hand, column: str) -> None:
    await no_address_twice(hand, column, " OR REPLACE")


async def no_address_twice(hand: Hand, column: str, how: str) -> None:
    """Neither a new NIC nor one that moves may have what another one has."""
    mine = (await hand.part("nic", "web"))[column]
    async with hand.undone():
        await loose(hand)
        entry, insert = hand.born("nic", **{column: mine})
        said = await hand.refusal(entry, insert.replace("INSERT", f"INSERT{how}"))
        assert any(words in said for words in OWNED[column])
        other = await hand.part("nic", "two")
        change = hand.changed("nic", other, state="Releasing", **{column: mine}).replace("UPDATE", f"UPDATE{how}")
        said = await hand.refusal(hand.journaled("nic", other, destination="Releasing"), change)
        assert any(words in said for words in OWNED[column])


async def test_two_networks_may_have_the_same_address(hand: Hand) -> None:
    mine = await hand.part("nic", "web")
    await loose(hand)
    await hand.run(*hand.born("nic", network_id="other", ip_address=mine["ip_address"]))
    assert await value(hand.database, f"SELECT count(*) FROM nic WHERE ip_address = '{mine['ip_address']}'") == 2


async def test_a_name_is_free_again_when_its_vm_is_gone(hand: Hand) -> None:
    web = await hand.named("web")
    twin = hand.born("vm", name="web", name_scope=web["name_scope"])
    said = await hand.refusal(*twin)
    assert "vm.name" in said or "vm_name_once" in said
    await loose(hand)
    await hand.move("vm", "loose-vm", "Error")
    await hand.run(*hand.born("vm", id="twin"))
    row = await hand.row("vm", "twin")
    renamed = hand.changed("vm", row, state="Destroyed", name="web", name_scope=web["name_scope"])
    said = await hand.refusal(hand.journaled("vm", row, destination="Destroyed"), renamed)
    assert "vm.name" in said or "vm_name_once" in said


# Capacity is neither overdrawn nor invented


async def test_a_host_is_not_filled_over_its_total_times_overcommit(hand: Hand) -> None:
    room = await value(hand.database, "SELECT cpu_mhz * cpu_overcommit - cpu_used_mhz FROM host WHERE id = 'h-2'")
    assert room == 2000
    async with hand.undone():
        await hand.run(*hand.born("vm", cpu_mhz=room + 1))
        row = await hand.row("vm", "loose-vm")
        said = await hand.refusal(
            hand.journaled("vm", row, destination="Starting"),
            hand.changed("vm", row, state="Starting", host_id="h-2"),
        )
        assert "host_cpu_within_capacity" in said


async def test_a_host_is_filled_to_the_brim(hand: Hand) -> None:
    await hand.run(*hand.born("vm", cpu_mhz=2000))
    await hand.move("vm", "loose-vm", "Starting")
    assert await value(hand.database, "SELECT cpu_used_mhz FROM host WHERE id = 'h-2'") == 2000


@pytest.mark.parametrize(
    ("column", "amount", "constraint"),
    [
        ("cpu_used_mhz", -1, "host_cpu_within_capacity"),
        ("cpu_used_mhz", 2001, "host_cpu_within_capacity"),
        ("memory_used_mib", -1, "host_memory_within_capacity"),
        ("memory_used_mib", 4097, "host_memory_within_capacity"),
        ("cpu_mhz", 999, "host_cpu_within_capacity"),
        ("memory_mib", 2047, "host_memory_within_capacity"),
    ],
)
async def test_what_is_held_of_a_host_stays_between_nothing_and_all(
    hand: Hand, column: str, amount: int, constraint: str
) -> None:
    said = await hand.refusal(f"UPDATE host SET {column} = {amount} WHERE id = 'h-1'")
    assert constraint in said


@pytest.mark.parametrize(("column", "amount"), [("used_mib", -1), ("used_mib", 1001), ("size_mib", 199)])
async def test_what_is_held_of_a_pool_stays_between_nothing_and_all(hand: Hand, column: str, amount: int) -> None:
    said = await hand.refusal(f"UPDATE storage_pool SET {column} = {amount} WHERE id = 'nfs'")
    assert "storage_pool_space_within_capacity" in said


async def test_a_pool_is_not_filled_over_its_total(hand: Hand) -> None:
    async with hand.undone():
        await loose(hand)
        await hand.run(*hand.born("volume", size_mib=801))
        row = await hand.row("volume", "loose-volume")
        said = await hand.refusal(
            hand.journaled("volume", row, destination="Creating"),
            hand.changed("volume", row, state="Creating", pool_id="nfs"),
        )
        assert "storage_pool_space_within_capacity" in said


async def test_what_is_held_is_counted_when_it_is_taken_moved_resized_and_given_back(hand: Hand) -> None:
    used = "SELECT cpu_used_mhz, memory_used_mib FROM host ORDER BY id"
    assert await hand.database.rows(used) == [(2000, 2048), (0, 0)]
    await loose(hand)
    await hand.move("vm", "loose-vm", "Starting")
    assert await hand.database.rows(used) == [(2000, 2048), (1000, 1024)]
    await hand.move("vm", "loose-vm", "Starting", cpu_mhz=500, memory_mib=4000)
    assert await hand.database.rows(used) == [(2000, 2048), (500, 4000)]
    await hand.move("vm", "loose-vm", "Starting", cpu_mhz=2000, memory_mib=4096)
    assert await hand.database.rows(used) == [(2000, 2048), (2000, 4096)]
    await hand.move("vm", "loose-vm", "Stopped")
    assert await hand.database.rows(used) == [(2000, 2048), (0, 0)]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["OR IGNORE", "OR FAIL", "OR REPLACE", "OR ABORT"])
async def test_no_conflict_clause_lets_a_vm_take_what_is_not_there(hand: Hand, how: str) -> None:
    web = await hand.named("web")
    greedy = hand.changed("vm", web, cpu_mhz=1_000_000).replace("UPDATE", f"UPDATE {how}")
    said = await hand.refusal(hand.journaled("vm", web), greedy)
    assert "host_cpu_within_capacity" in said
    nowhere = hand.changed("vm", web, host_id="no-such-host").replace("UPDATE", f"UPDATE {how}")
    assert "within_capacity" in await hand.refusal(hand.journaled("vm", web), nowhere)


# Interlocks

NEEDS = [(row, need) for row in INTERLOCKS for need in row.needs]


def _named(case: tuple[Interlock, Need]) -> str:
    row, need = case
    return f"{row.machine}-{row.state}-{need.machine if isinstance(need, Related) else need.column}"


@pytest.mark.parametrize("case", NEEDS, ids=_named)
async def test_a_state_is_not_entered_while_a_need_is_unmet(hand: Hand, case: tuple[Interlock, Need]) -> None:
    row, need = case
    async with hand.undone():
        await stand_before(hand, row, need)
        entity = await hand.row(row.machine, f"loose-{row.machine}")
        said = await hand.refusal(
            hand.journaled(row.machine, entity, destination=row.state),
            hand.changed(row.machine, entity, state=row.state, **wrongly_held(row, need)),
        )
    assert f"interlock: interlocked: no {row.machine} enters {row.state} while" in said
    assert (f"a {need.machine} is not" if isinstance(need, Related) else need.column) in said


async def stand_before(hand: Hand, row: Interlock, need: Need) -> None:
    """Bring loose entities to where the next step enters the state, and all but one need is met."""
    if isinstance(need, Related) and need.machine == "vm":
        await loose(hand, row.machine)
        await beside_a_stopping_vm(hand, row.machine)
        return
    children = {row.machine} | ({need.machine} if isinstance(need, Related) else set())
    await loose(hand, *(children - {"vm"}))
    if isinstance(need, Related):
        await hand.walk(need.machine, f"loose-{need.machine}", _in_the_way(need))
    await hand.walk(row.machine, f"loose-{row.machine}", _last_before(row))


def _last_before(row: Interlock) -> str:
    """The state from which a loose entity enters the row's state."""
    if row.state == "Stopped":
        return "Starting"
    if row.state == MACHINES[row.machine].initial:
        return "Creating"
    return ["Allocated", *path(row.machine, "Allocated", row.state)][-2]


async def beside_a_stopping_vm(hand: Hand, machine: str) -> None:
    """Bring a NIC or volume of a VM that is Stopping to where the next step ends it."""
    entity = f"loose-{machine}"
    await hand.walk(machine, entity, "Reserved" if machine == "nic" else "Ready")
    await hand.walk("vm", "loose-vm", "Stopping")
    await hand.walk(machine, entity, "Allocated" if machine == "nic" else "Destroy")


def _in_the_way(need: Related) -> str:
    """A state in which a related entity is in the way."""
    living = [each for each in MACHINES[need.machine].states.values() if each.stability is not Stability.TERMINAL]
    return next(each.name for each in living if each.name not in need.states)


def wrongly_held(row: Interlock, need: Need) -> dict[str, Any]:
    """What is held on entering, but for the one need."""
    right = what_it_holds(row.machine, row.state)
    if isinstance(need, Holds):
        return {**right, need.column: None}
    if isinstance(need, HoldsNo):
        return {**right, need.column: HELD[need.column]}
    return right


async def test_history_is_not_in_the_way(hand: Hand) -> None:
    await loose(hand, "nic", "volume")
    await hand.walk("nic", "loose-nic", "Deallocated")
    await hand.walk("volume", "loose-volume", "Expunged")
    await hand.walk("vm", "loose-vm", "Running")
    assert (await hand.row("vm", "loose-vm"))["state"] == "Running"
