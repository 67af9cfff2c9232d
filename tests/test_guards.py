"""The database refuses by itself what the machines and the journal do not allow, whoever asks.

Everything here, and in the other tests of the guards, is bare SQL, as from a client. Each test makes one thing wrong
about a change that is right otherwise, looks at the words of the refusal, and at every row of every table: nothing has
changed.
"""

from __future__ import annotations

from typing import Any

import pytest

from interlock.schema.machines import MACHINES
from tests.bare import Refused, literal, value
from tests.hand import Hand, what_it_holds

every_machine = pytest.mark.parametrize("machine", MACHINES)


async def a_part(hand: Hand, machine: str) -> dict[str, Any]:
    """The VM `web`, or its NIC, volume or operation."""
    return await (hand.named("web") if machine == "vm" else hand.part(machine, "web"))


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
        await hand.loose(*({machine} - {"vm"}))
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
    await hand.loose(*({machine} - {"vm"}))
    assert (await hand.row(machine, f"loose-{machine}"))["version"] == 1


@every_machine
async def test_an_insert_in_any_other_state_is_refused(hand: Hand, machine: str) -> None:
    async with hand.undone():
        if machine != "vm":
            await hand.loose()
        for state in MACHINES[machine].states:
            if state != MACHINES[machine].initial:
                said = await hand.refusal(*hand.born(machine, state=state))
                assert f"a new {machine} begins in {MACHINES[machine].initial} with version 1" in said


@every_machine
async def test_an_insert_with_another_version_is_refused(hand: Hand, machine: str) -> None:
    async with hand.undone():
        if machine != "vm":
            await hand.loose()
        entry, insert = hand.born(machine, version=2)
        assert "with version 1" in await hand.refusal(entry, insert)


@every_machine
async def test_an_insert_without_a_journal_row_is_refused(hand: Hand, machine: str) -> None:
    async with hand.undone():
        if machine != "vm":
            await hand.loose()
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
