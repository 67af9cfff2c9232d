"""The group commit: what waits together is written together, and each decision stands or falls alone.

A batch is many decisions handed in before the loop turns. Between them is one that must lose, each in its own way;
the others must not notice, and of the loser nothing may be left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from interlock.engine.core.decision import Change, Decision, End, seal
from interlock.engine.core.events import Claimed
from interlock.engine.orchestrator.commits import after
from interlock.engine.store import queries
from interlock.engine.store.verdict import Committed, Lost, Verdict, Why
from interlock.schema.cloud import APART
from interlock.schema.errors import EngineClosed
from interlock.schema.holdings import COUNTERS
from interlock.schema.machines import MACHINES
from interlock.schema.requests import NicRequest, RebootVM, StopVM
from interlock.schema.tables.derived import MEMBERSHIPS
from tests.bare import bare, value
from tests.clerk import Clerk, a_vm, clerk, of_vm, tiny, vm_in

MANY = 20
TOLD = 1
"""The journal rows that tell of the tiny cloud."""


@pytest.fixture
async def desk(cloud_url: str) -> AsyncIterator[Clerk]:
    """A clerk on a database with the tiny cloud."""
    async with clerk(cloud_url) as found:
        yield found


async def together(desk: Clerk, *decisions: Decision) -> list[Verdict]:
    """Hand in decisions at one moment."""
    return list(await asyncio.gather(*(desk.write(decision) for decision in decisions)))


async def many(desk: Clerk, count: int = MANY) -> list[Decision]:
    """Requests for VMs that have nothing to do with each other."""
    decisions = []
    for number in range(count):
        decision = await desk.ask(a_vm(f"vm-{number}"))
        desk.inventory.hold(decision)
        decisions.append(decision)
    return decisions


async def journal(desk: Clerk) -> list[tuple[int, str, int]]:
    """Number, entity and version of every journal row after those that tell of the cloud, in order."""
    rows = await desk.store.journal(queries.journal_after(TOLD, 10_000))
    return [(row.seq, row.entity_id, row.version) for row in rows]


def rows_of(decisions: list[Decision]) -> list[tuple[str, int]]:
    """Entity and version of every row the decisions write, in order."""
    return [(entry.entity_id, entry.version) for decision in decisions for entry in decision.journal]


# Together


async def test_what_waits_together_is_one_commit(desk: Clerk) -> None:
    decisions = await many(desk)
    before = msgspec.structs.replace(desk.store.counters)
    assert all(isinstance(verdict, Committed) for verdict in await together(desk, *decisions))
    assert desk.store.counters.commits == before.commits + 1
    assert desk.store.counters.decisions == before.decisions + MANY


async def test_a_batch_costs_a_statement_a_table_however_many_are_in_it(desk: Clerk) -> None:
    before = desk.store.counters.statements
    await together(desk, *await many(desk))
    assert desk.store.counters.statements - before <= 7


async def test_journal_numbers_have_no_gaps_and_come_in_the_order_of_asking(desk: Clerk) -> None:
    decisions = await many(desk)
    verdicts = await together(desk, *decisions)
    written = await journal(desk)
    assert [seq for seq, _, _ in written] == list(range(TOLD + 1, TOLD + len(written) + 1))
    assert [row[1:] for row in written] == rows_of(decisions)
    for decision, verdict in zip(decisions, verdicts, strict=True):
        assert isinstance(verdict, Committed)
        assert written[verdict.first_seq - TOLD - 1][1:] == rows_of([decision])[0]


async def test_what_waits_while_a_batch_is_written_is_in_the_next(desk: Clerk) -> None:
    decisions = await many(desk)
    first = [asyncio.create_task(desk.store.commit(decision)) for decision in decisions[:5]]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(desk.store.commit(decision)) for decision in decisions[5:]]
    before = desk.store.counters.commits
    await asyncio.gather(*first, *rest)
    assert desk.store.counters.commits <= before + 2
    assert [row[1:] for row in await journal(desk)] == rows_of(decisions)


async def test_more_than_a_batch_holds_is_written_in_several(desk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.engine.store.writer.BATCH", 8)
    decisions = await many(desk)
    before = desk.store.counters.commits
    await together(desk, *decisions)
    assert desk.store.counters.commits == before + 3
    assert [row[1:] for row in await journal(desk)] == rows_of(decisions)


async def test_records_are_read_back_as_they_were_decided(desk: Clerk) -> None:
    decision = await desk.deploy("web", data_disks_mib=(10, 20))
    case = await desk.store.case(decision.operation.id)
    assert case == after(decision)
    assert await desk.store.nics(vm_in(decision).id) == list(decision.nics)
    assert await desk.store.volumes(vm_in(decision).id) == list(decision.volumes)


# One among many


async def stale(desk: Clerk) -> tuple[Decision, Decision]:
    """Two claims of one operation."""
    case = after(await desk.queue("web"))
    one = await desk.decide(lambda at: Claimed(at=at, worker_id="one"), case)
    return one, await desk.decide(lambda at: Claimed(at=at, worker_id="two"), case)


async def room(desk: Clerk) -> tuple[Decision, Decision]:
    """Two VMs choose the last place of a host, each without having seen the other."""
    for name in ("first", "second", "third"):
        await desk.deploy(name)
    web, two = await desk.queue("web"), await desk.queue("two")
    return await desk.next(web), await desk.next(two)


async def space(desk: Clerk) -> tuple[Decision, Decision]:
    """Two VMs choose the last space of a pool."""
    web = await desk.queue("web", data_disks_mib=(800,))
    two = await desk.queue("two", data_disks_mib=(800,))
    return await desk.next(web), await desk.next(two)


async def limit(desk: Clerk) -> tuple[Decision, Decision]:
    """Two VMs want the last cores that their account may have, one of them several."""
    await desk.store.put({"account": [{**row, "cores_limit": 6} for row in tiny().rows()["account"]]})
    one = await desk.ask(a_vm("web", nics=(NicRequest("net", "10.0.0.50"),)))
    return one, changed(await desk.ask(a_vm("two", nics=(NicRequest("net", "10.0.0.51"),))), "vm", cpu_cores=6)


async def apart(desk: Clerk) -> tuple[Decision, Decision]:
    """Two VMs that must run apart choose one host."""
    await desk.store.put({"affinity_group": [{"id": "apart", "kind": APART, "account_id": None, "domain_id": None}]})
    chosen = []
    for name in ("web", "two"):
        asked = changed(await desk.ask(a_vm(name)), "vm", affinity_groups=("apart",))
        assert isinstance(await desk.write(asked), Committed)
        chosen.append(await desk.next(asked))
    return chosen[0], chosen[1]


async def address(desk: Clerk) -> tuple[Decision, Decision]:
    """Two VMs choose one address."""
    return await desk.ask(a_vm("web")), await desk.ask(a_vm("two"))


async def name(desk: Clerk) -> tuple[Decision, Decision]:
    """Two VMs choose one name."""
    one = await desk.ask(a_vm("web", nics=(NicRequest("net", "10.0.0.50"),)))
    return one, await desk.ask(a_vm("web", nics=(NicRequest("net", "10.0.0.51"),)))


async def busy(desk: Clerk) -> tuple[Decision, Decision]:
    """Two operations are asked for on one VM."""
    deployed = await desk.deploy("web")
    web, vm = of_vm(deployed), vm_in(deployed)
    return await desk.ask(StopVM(vm.id), web), await desk.ask(RebootVM(vm.id), web)


async def defect(desk: Clerk) -> tuple[Decision, Decision]:
    """The core decides what the table does not allow: a VM that runs before it starts."""
    two = await desk.next(await desk.queue("two"))
    return await desk.ask(a_vm("web")), changed(two, "vm", state="Running")


async def unknown(desk: Clerk) -> tuple[Decision, Decision]:
    """The core decides for an account that is not there."""
    return await desk.ask(a_vm("web")), changed(await desk.ask(a_vm("two")), "vm", account_id="nobody")


def changed(decision: Decision, machine: str, **columns: Any) -> Decision:
    """A decision that says something else of an entity, sealed as if it were right."""
    return msgspec.structs.replace(
        decision,
        changes=tuple(_changed(each, columns) if each.machine == machine else each for each in decision.changes),
    )


def _changed(change: Change, columns: dict[str, Any]) -> Change:
    entry = msgspec.structs.replace(change.entry, destination=columns.get("state", change.entry.destination))
    entry = msgspec.structs.replace(entry, hash=seal(entry))
    return msgspec.structs.replace(
        change, after=msgspec.structs.replace(change.after, **columns, hash=entry.hash), entry=entry
    )


LOSERS: dict[Callable[[Clerk], Awaitable[tuple[Decision, Decision]]], Why] = {
    stale: Why.STALE,
    room: Why.ROOM,
    space: Why.ROOM,
    limit: Why.ROOM,
    apart: Why.STALE,
    address: Why.ROOM,
    name: Why.NAME,
    busy: Why.BUSY,
    defect: Why.DEFECT,
    unknown: Why.DEFECT,
}


@pytest.mark.parametrize("race", LOSERS, ids=lambda race: race.__name__)
async def test_one_that_loses_loses_alone_and_learns_why(
    desk: Clerk, race: Callable[[Clerk], Awaitable[tuple[Decision, Decision]]]
) -> None:
    first, second = await race(desk)
    others = [await desk.ask(a_vm(f"vm-{n}", nics=(NicRequest("other", f"10.0.0.{n}"),))) for n in range(10, 14)]
    before = await journal(desk)
    alone = desk.store.counters.retried_alone
    [won, lost, *rest] = await together(desk, first, second, *others)
    assert desk.store.counters.retried_alone == alone + 1
    assert isinstance(won, Committed)
    assert isinstance(lost, Lost)
    assert lost.why is LOSERS[race], lost.message
    assert all(isinstance(verdict, Committed) for verdict in rest)
    written = (await journal(desk))[len(before) :]
    assert [row[1:] for row in written] == rows_of([first, *others])
    begin = TOLD + len(before) + 1
    assert [row[0] for row in written] == list(range(begin, begin + len(written)))
    for decision, verdict in zip([first, *others], [won, *rest], strict=True):
        assert isinstance(verdict, Committed)
        assert written[verdict.first_seq - TOLD - len(before) - 1][1:] == rows_of([decision])[0]


@pytest.mark.parametrize("race", LOSERS, ids=lambda race: race.__name__)
async def test_of_one_that_lost_nothing_is_left(
    desk: Clerk, cloud_url: str, race: Callable[[Clerk], Awaitable[tuple[Decision, Decision]]]
) -> None:
    first, second = await race(desk)
    assert isinstance(await desk.write(first), Committed)
    before = await contents(cloud_url)
    assert isinstance(await desk.write(second), Lost)
    assert await contents(cloud_url) == before


async def contents(url: str) -> dict[str, set[Any]]:
    """All rows of all tables that a decision writes or books in."""
    tables = (*MACHINES, "journal", *COUNTERS, *MEMBERSHIPS, "security_group")
    async with bare(url) as database:
        return {table: set(await database.rows(f"SELECT * FROM {table}")) for table in tables}


POISON: dict[str, dict[str, Any]] = {
    "a number no column holds": {"cpu_mhz": 2**80},
    "text that is no Unicode": {"last_host_id": "\ud800"},
    "a null where none may be": {"planner": None},
    "a value of no type": {"last_host_id": {"a": 1}},
}


@pytest.mark.parametrize("columns", POISON.values(), ids=POISON)
async def test_a_value_the_database_cannot_hold_costs_the_others_nothing(desk: Clerk, columns: dict[str, Any]) -> None:
    good = await many(desk, 4)
    bad = changed(await desk.ask(a_vm("bad", nics=(NicRequest("other"),))), "vm", **columns)
    verdicts = await together(desk, *good[:2], bad, *good[2:])
    assert [type(verdict) for verdict in verdicts] == [Committed, Committed, Lost, Committed, Committed]
    assert isinstance(verdicts[2], Lost)
    assert verdicts[2].why is Why.DEFECT
    assert [row[1:] for row in await journal(desk)] == rows_of(good)


async def test_all_may_lose(desk: Clerk) -> None:
    losers = [changed(decision, "vm", state="Running") for decision in await many(desk, 3)]
    verdicts = await together(desk, *losers)
    assert [verdict.why for verdict in verdicts if isinstance(verdict, Lost)] == [Why.DEFECT] * 3
    assert await journal(desk) == []
    assert isinstance(await desk.write(await desk.ask(a_vm("web"))), Committed)


# Between batches, and the end


async def test_a_read_between_sees_all_that_was_acknowledged_and_nothing_in_flight(desk: Clerk) -> None:
    writes = [asyncio.create_task(desk.store.commit(decision)) for decision in await many(desk)]
    found: list[tuple[int, int]] = []

    def take(rows: list[tuple[int]]) -> None:
        found.append((rows[0][0], sum(write.done() for write in writes)))

    reads = [asyncio.create_task(desk.store.read_between(take, queries.journal_head())) for _ in range(3)]
    await asyncio.gather(*reads, *writes)
    await desk.store.read_between(take, queries.journal_head())
    assert all(head in (TOLD, TOLD + MANY * 4) and head >= acknowledged for head, acknowledged in found)
    assert found[-1] == (TOLD + MANY * 4, MANY)


async def test_a_locked_read_sees_what_others_were_writing(desk: Clerk, cloud_url: str) -> None:
    """Somebody else's transaction is open; the read waits until it ends, and sees it."""
    from interlock.engine.store.joined import TAKE_WRITE_LOCK
    from interlock.engine.store.postgresql import TAKE_LOCK

    async with bare(cloud_url) as other:
        await other.run("BEGIN")
        await other.rows(TAKE_LOCK) if other.dialect == "postgresql" else await other.run(TAKE_WRITE_LOCK)
        await other.run("INSERT INTO account (id, domain_id, role, enabled) VALUES ('late', 'ROOT', 'user', true)")
        read = asyncio.create_task(desk.store.locked_read(queries.all_of("account")))
        await asyncio.sleep(0.2)
        assert not read.done()
        await other.run("COMMIT")
        assert "late" in [row[0] for row in await read]


async def test_a_caller_that_gives_up_does_not_take_its_decision_back(desk: Clerk) -> None:
    decisions = await many(desk, 2)
    writes = [asyncio.create_task(desk.store.commit(decision)) for decision in decisions]
    await asyncio.sleep(0)
    writes[0].cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    assert [row[1:] for row in await journal(desk)] == rows_of(decisions)


async def test_closing_writes_what_waits_and_refuses_what_comes_later(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        decisions = await many(desk)
        writes = [asyncio.create_task(desk.store.commit(decision)) for decision in decisions]
        await asyncio.sleep(0)
        await desk.store.close()
        assert all(isinstance(verdict, Committed) for verdict in await asyncio.gather(*writes))
        late = await asyncio.gather(
            desk.store.commit(decisions[0]),
            desk.store.read_between(print, queries.journal_head()),
            desk.store.refresh(print, queries.journal_head()),
            desk.store.locked_read(queries.journal_head()),
            desk.store.rows(queries.journal_head()),
            return_exceptions=True,
        )
        assert [type(each) for each in late] == [EngineClosed] * 5
    async with bare(cloud_url) as database:
        assert await value(database, "SELECT max(seq) FROM journal") == TOLD + MANY * 4


async def test_closing_lets_reads_end(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        await desk.store.rows(queries.journal_head())
        reads = [asyncio.create_task(desk.store.rows(queries.all_of("host"))) for _ in range(10)]
        await asyncio.sleep(0)
        await desk.store.close()
        assert all(read.done() for read in reads)
        assert [len(hosts) for hosts in await asyncio.gather(*reads)] == [2] * 10


async def test_closing_twice_does_nothing_more(cloud_url: str) -> None:
    async with clerk(cloud_url) as desk:
        await desk.store.close()


async def test_a_vm_of_every_end_is_read_back(desk: Clerk) -> None:
    done = await desk.deploy("web")
    assert done.outcome is End.SUCCEEDED
    assert (await desk.store.operation(done.operation.id)).state == "Succeeded"
