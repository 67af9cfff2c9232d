"""Two stores on one database: neither trusts figures that the other has changed.

A refusal for want of room is only as good as the figures it was decided on. What is taken or given back by somebody
else in between makes it void: it is not committed, and must be decided again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from interlock.engine.core.decision import Decision
from interlock.engine.store import sqlite
from interlock.engine.store.commit import Written
from interlock.engine.store.verdict import Committed, Lost, Why
from interlock.schema.requests import DestroyVM, NicRequest, StopVM
from tests.bare import bare, settle
from tests.clerk import Clerk, a_vm, clerk, vm_in
from tests.hand import Hand
from tests.ledger import assert_sound

ROOM = 4
"""How many small VMs the tiny cloud holds."""


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Clerk, Clerk]]:
    """Two clerks, as of two processes."""
    async with clerk(url) as one, clerk(url) as other:
        yield one, other


async def a_full_cloud(one: Clerk, other: Clerk) -> Decision:
    """Fill the cloud; returns the last VM's deploy. Both know."""
    decisions = [await one.deploy(f"vm-{number}") for number in range(ROOM)]
    await other.reload()
    return decisions[-1]


async def a_refusal(desk: Clerk, name: str = "late") -> Decision:
    """A deploy that finds no room; not written yet."""
    refusal = await desk.next(await desk.queue(name))
    assert refusal.if_fresh
    assert refusal.operation.state == "Failed"
    return refusal


async def test_a_refusal_stands_while_nobody_else_writes(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        await a_full_cloud(one, other)
        assert isinstance(await one.write(await a_refusal(one)), Committed)


async def test_a_refusal_on_old_figures_is_not_written(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        running = await a_full_cloud(one, other)
        refusal = await a_refusal(one)
        await other.run(StopVM(vm_in(running).id), running)
        verdict = await one.write(refusal)
        assert isinstance(verdict, Lost)
        assert verdict.why is Why.ROOM
        assert one.store.overtaken
        assert (await one.store.operation(refusal.operation.id)).state == "Queued"


async def test_decided_again_on_fresh_figures_it_finds_room(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        running = await a_full_cloud(one, other)
        asked = await one.queue("late")
        assert (await one.next(asked)).if_fresh
        await other.run(StopVM(vm_in(running).id), running)
        assert isinstance(await one.write(await one.next(asked)), Lost)
        await one.reload()
        assert vm_in(await one.end(asked)).state == "Running"


async def test_what_is_not_a_refusal_is_written_on_old_figures_too(cloud_url: str) -> None:
    """The database itself says whether it fits."""
    async with two(cloud_url) as (one, other):
        asked = await one.queue("two")
        await other.reload()
        await other.deploy("three")
        assert isinstance(await one.write(await one.next(asked)), Committed)
        assert one.store.overtaken
        assert one.store.counters.retried_alone == 0


async def test_a_refusal_beside_others_loses_alone(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        running = await a_full_cloud(one, other)
        refusal = await a_refusal(one)
        await other.run(StopVM(vm_in(running).id), running)
        beside = [await one.ask(a_vm(f"n-{n}", nics=(NicRequest("other", f"10.0.0.{n}"),))) for n in (20, 21)]
        verdicts = await asyncio.gather(*(one.write(each) for each in (beside[0], refusal, beside[1])))
        assert [type(verdict) for verdict in verdicts] == [Committed, Lost, Committed]


async def test_what_others_wrote_before_the_first_commit_counts_too(cloud_url: str) -> None:
    """Figures are read at opening; somebody else may write before this store ever does."""
    async with clerk(cloud_url) as one:
        running = await a_full_cloud(one, one)
        asked = await one.queue("late")
    async with two(cloud_url) as (late, other):
        refusal = await late.next(asked)
        assert refusal.if_fresh
        await other.run(StopVM(vm_in(running).id), running)
        verdict = await late.write(refusal)
        assert isinstance(verdict, Lost)
        assert verdict.why is Why.ROOM


async def test_a_refusal_that_waits_while_figures_are_read_again_is_still_old(
    cloud_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was handed in while a batch was written that noticed the others; figures are read before its own batch."""
    async with two(cloud_url) as (one, other):
        running = await a_full_cloud(one, other)
        refusal = await a_refusal(one)
        noticing = await one.ask(a_vm("noticing", start=False, nics=(NicRequest("other"),)))
        await other.run(DestroyVM(vm_in(running).id), running)
        writing, go_on = held_up(one, monkeypatch)

        async def notice() -> None:
            assert isinstance(await one.write(noticing), Committed)
            assert one.store.overtaken
            await one.reload()

        noticed = asyncio.create_task(notice())
        await writing.wait()
        late = asyncio.create_task(one.write(refusal))
        await settle()
        go_on.set()
        await noticed
        verdict = await late
        assert isinstance(verdict, Lost)
        assert verdict.why is Why.ROOM
        assert not one.store.overtaken


def held_up(desk: Clerk, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Have batches wait before they are written; the events tell that one is, and let it go on."""
    writing, go_on = asyncio.Event(), asyncio.Event()
    database = desk.store._writer.database
    write = database.write

    async def slowly(*arguments: Any) -> Written:
        writing.set()
        await go_on.wait()
        return await write(*arguments)

    monkeypatch.setattr(database, "write", slowly)
    return writing, go_on


async def test_a_refusal_decided_while_figures_are_read_again_is_still_old(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        running = await a_full_cloud(one, other)
        refusal = await a_refusal(one)
        await other.run(DestroyVM(vm_in(running).id), running)
        _, verdict = await asyncio.gather(one.reload(), one.write(refusal))
        assert isinstance(verdict, Lost)
        assert isinstance(await one.write(await one.ask(a_vm("web", nics=(NicRequest("other"),)))), Committed)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_others_may_write_while_a_batch_begins_again(cloud_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the batch is refused; between the rollback and the second try, somebody else is quicker."""
    async with two(cloud_url) as (one, other), bare(cloud_url) as hand:
        await a_full_cloud(one, other)
        refusal = await a_refusal(one)
        twins = [await one.ask(a_vm("twin", start=False, nics=(NicRequest("other"),))) for _ in range(2)]
        entry = Hand(hand).journaled("vm", {"id": "else", "version": 0, "state": "", "hash": ""})
        await told_to_write(one, cloud_url, entry)
        monkeypatch.setattr(sqlite, "BEGIN_AGAIN", ("ROLLBACK", "SELECT others_write()", "BEGIN IMMEDIATE"))
        verdicts = await asyncio.gather(*(one.write(each) for each in (twins[0], refusal, twins[1])))
        assert [type(verdict) for verdict in verdicts] == [Committed, Lost, Lost]
        assert one.store.overtaken
        assert await hand.rows("SELECT entity_id FROM journal ORDER BY seq DESC LIMIT 1") != [("else",)]


async def told_to_write(desk: Clerk, url: str, sql: str) -> None:
    """Give the writing connection a function by which somebody else writes."""

    def others_write() -> None:
        with closing(sqlite3.connect(str(make_url(url).database))) as somebody, somebody:
            somebody.execute(sql)

    driver: Any = desk.store._writer.database
    await driver._hop(lambda database: database.create_function("others_write", 0, others_write))


async def test_a_refusal_on_the_figures_just_read_stands(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        running = await a_full_cloud(one, other)
        asked = await one.queue("late")
        await other.run(DestroyVM(vm_in(running).id), running)
        await other.deploy("instead")
        await one.reload()
        refusal = await one.next(asked)
        assert refusal.if_fresh
        assert isinstance(await one.write(refusal), Committed)


async def test_two_stores_write_in_turn_and_each_sees_that_it_was_overtaken(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        for number in range(10):
            desk = (one, other)[number % 2]
            decision = await desk.ask(a_vm(f"vm-{number}", nics=(NicRequest("net", f"10.0.0.{10 + number}"),)))
            assert isinstance(await desk.write(decision), Committed)
            assert desk.store.overtaken is (number > 0)
            await desk.reload()
            assert not desk.store.overtaken
    async with bare(cloud_url) as database:
        assert len(await assert_sound(database)) == 1 + 10 * 4  # the first tells of the cloud


async def test_two_stores_write_at_once_and_nothing_is_lost(cloud_url: str) -> None:
    async with two(cloud_url) as (one, other):
        decisions = []
        for number in range(40):
            desk = (one, other)[number % 2]
            wish = NicRequest("net", f"10.0.0.{10 + number}")
            decisions.append((desk, await desk.ask(a_vm(f"vm-{number}", nics=(wish,)))))
        verdicts = await asyncio.gather(*(desk.write(decision) for desk, decision in decisions))
        assert [type(verdict) for verdict in verdicts] == [Committed] * 40
        firsts = [verdict.first_seq for verdict in verdicts if isinstance(verdict, Committed)]
        assert sorted(firsts) == list(range(2, 162, 4))  # row 1 tells of the cloud
    async with bare(cloud_url) as database:
        await assert_sound(database)
