"""The head start: a request and the first announcement of its operation are one commit, or it is as if there were none.

Whatever is in the way of it costs the head start and nothing else: figures stay right, the request is accepted, and
the operation goes on or fails as it would have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.engine.core.inputs import input_in
from interlock.engine.orchestrator import commits, drives
from interlock.engine.store import queries
from interlock.engine.store.verdict import Lost, Verdict, Why
from interlock.schema.errors import NameTaken, StoreError
from interlock.schema.transition import Transition
from tests.world import World, cloud, world


async def journal(lab: World) -> list[Transition]:
    """All rows but those of the cloud."""
    rows = await lab.engine._store.journal(queries.journal_after(0, 10_000))
    return [row for row in rows if row.machine != "cloud"]


def sent(lab: World, patch: pytest.MonkeyPatch, answer: Callable[[Decision], Verdict | None]) -> list[Decision]:
    """What is handed to the store from now on; `answer` may answer in its place."""
    store, found = lab.engine._store, list[Decision]()
    commit: Callable[[Decision], Awaitable[Verdict]] = store.commit

    async def watched(decision: Decision) -> Verdict:
        found.append(decision)
        return answer(decision) or await commit(decision)

    patch.setattr(store, "commit", watched)
    return found


def events(decision: Decision) -> list[str]:
    """The decisions in what is handed in, by the events that they answer."""
    return [said["event"] for row in decision.journal if (said := input_in(row)) is not None]


async def settled(lab: World) -> None:
    """The account's default security group is there: what a request makes of it is not known before it is written."""
    await lab.deploy("first")


async def sound(lab: World) -> None:
    """Figures in memory are those of the database, and the check finds nothing."""
    inventory = lab.engine._orchestrator.commits.inventory
    assert {each.id: each for each in (await lab.engine.places())["host"]} == inventory._places["host"]
    assert {each.id: each for each in (await lab.engine.places())["account"]} == inventory._places["account"]
    assert not inventory._pending and await lab.engine.check() == []


async def test_a_deploy_is_three_commits_and_two_decisions_share_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as lab:
        await settled(lab)
        before = len(await journal(lab))
        handed = sent(lab, monkeypatch, lambda _: None)
        assert (await lab.deploy()).state == "Succeeded"
        assert list(map(events, handed)) == [["Requested", "Claimed"], ["Settled"], ["Settled"]]
        written = [row.hash for row in await journal(lab)][before:]
        assert written == [entry.hash for each in handed for entry in each.journal]  # in the order of deciding
        await sound(lab)


async def test_what_asks_nothing_of_drivers_ends_with_its_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as lab:
        await settled(lab)
        handed = sent(lab, monkeypatch, lambda _: None)
        assert (await lab.deploy(start=False)).state == "Succeeded"
        assert list(map(events, handed)) == [["Requested", "Claimed"]]
        assert (await lab.vm()).state == "Allocated"


@pytest.mark.parametrize("why", [Why.ROOM, Why.STALE, Why.DEFECT])
async def test_a_head_start_that_loses_costs_the_request_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Why
) -> None:
    async with world(tmp_path) as lab:
        await settled(lab)
        handed = sent(lab, monkeypatch, lambda each: Lost(why, "on order") if len(events(each)) > 1 else None)
        assert (await lab.deploy()).state == "Succeeded"
        assert list(map(events, handed))[:3] == [["Requested", "Claimed"], ["Requested"], ["Claimed"]]
        await sound(lab)


async def test_a_request_that_is_refused_is_refused_with_its_head_start(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy()
        rows = await journal(lab)
        with pytest.raises(NameTaken):
            await lab.deploy()
        assert await journal(lab) == rows
        await sound(lab)


async def test_nothing_is_counted_where_the_store_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Decision) -> Verdict:
        raise StoreError("on order")

    async with world(tmp_path) as lab:
        await settled(lab)
        rows = await journal(lab)
        with monkeypatch.context() as patch:
            handed = sent(lab, patch, fail)
            with pytest.raises(StoreError):
                await lab.deploy()
        assert list(map(events, handed)) == [["Requested", "Claimed"]]
        assert await journal(lab) == rows
        await sound(lab)


async def test_where_there_is_no_room_the_request_stands_and_its_operation_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, description=cloud(hosts=1, memory=512)) as lab:
        failed = await lab.deploy()
        assert failed.state == "Failed" and "no place" in (failed.error or "")
        await sound(lab)


async def test_a_defect_in_a_head_start_is_told_by_the_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(snapshot: Any, event: Any, rules: Any) -> Decision:
        if type(event).__name__ == "Claimed":
            raise ZeroDivisionError("a defect of ours")
        return decide(snapshot, event, rules)

    async with world(tmp_path) as lab:
        monkeypatch.setattr(commits, "decide", wrong)
        stuck = await lab.deploy()
        assert stuck.state == "Stuck" and "ZeroDivisionError" in (stuck.error or "")


async def test_what_must_wait_to_be_driven_takes_no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "IN_FLIGHT", 1)
    async with world(tmp_path, latency=0.05) as lab:
        handles = [await lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(3)]
        assert [(await lab.vm(f"vm-{number}")).host_id is None for number in range(3)] == [False, True, True]
        assert {(await handle.ended()).state for handle in handles} == {"Succeeded"}
        await sound(lab)
