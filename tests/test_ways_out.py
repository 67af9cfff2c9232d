"""Every way out of Stuck, for operations of every kind: each ends at rest, with balanced books, and says who and why.

Each operation becomes Stuck by a defect of ours: after its first effects were done, or, where it has none, as it began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interlock import InvalidRequest, Way
from interlock.cli.work import headline
from interlock.engine.core import decide
from interlock.engine.core.draft import Draft
from interlock.engine.core.operations import PROGRAMS
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.records import Operation
from interlock.schema.requests import CreateDisk, EvictGuest
from tests.disks import SITUATIONS
from tests.test_core import REQUEST, Shell
from tests.test_operations import EFFECTS, ask, ready_for, rebooted
from tests.world import World, cloud, world

FORGETS = {"deploy": "Error", "expunge": "Error"}
"""Operations after whose undo a VM does not stand where it did."""


@dataclass(frozen=True)
class Case:
    """How to bring a world to where an operation can be asked for, and how it is asked."""

    kind: str
    ready: Callable[[World], Awaitable[Any]]
    ask: Callable[[World], Awaitable[Operation]]
    has_effects: bool


def _of_vm(kind: str) -> Case:
    return Case(kind, lambda lab: ready_for(lab, kind), lambda lab: ask(lab, kind), bool(EFFECTS[kind]))


async def _destroyed(lab: World) -> None:
    await lab.deploy()
    await lab.run("destroy")


async def _create(lab: World) -> Operation:
    request = CreateDisk(name="new", size_mib=2000, offering="any", zone="z")
    return await (await lab.engine.create_disk(request)).ended()


async def _strangers_end(lab: World) -> None:
    await lab.engine.set_setting("vm.unknown.domain", "end")


async def _evict(lab: World) -> Operation:
    return await (await lab.engine.submit(EvictGuest("a-stranger", "h-1"))).ended()


CASES = {
    **{kind: _of_vm(kind) for kind in EFFECTS},
    "recover": Case("recover", _destroyed, lambda lab: lab.run("recover"), False),
    "follow": Case("follow", lambda lab: lab.deploy(), lambda lab: lab.run("follow"), True),
    "evict": Case("evict", _strangers_end, _evict, True),
    "create-disk": Case("create-disk", lambda lab: lab.deploy(), _create, False),
    **{each.name: Case(each.kind, each.ready, each.ask, True) for each in SITUATIONS},
}


def break_once(patch: pytest.MonkeyPatch, case: Case) -> list[str]:
    """Have the core fail on that operation once; the list says on which it did.

    What has a head start fails twice as it begins: one that fails is nothing but a head start less.
    """
    name, times = "_settled" if case.has_effects else "_begin", 2 if case.kind == "create-disk" else 1
    right, failed = getattr(decide, name), list[str]()

    def wrong(draft: Draft, event: Any) -> None:
        if draft.operation.kind == case.kind and len(failed) < times:
            failed.append(draft.operation.id)
            raise ZeroDivisionError("a defect of ours")
        right(draft, event)

    patch.setattr(decide, name, wrong)
    return failed


def test_these_are_all_kinds() -> None:
    assert {case.kind for case in CASES.values()} == set(PROGRAMS)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_each_way_out_ends_at_rest_with_balanced_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case, way: Way
) -> None:
    async with world(tmp_path) as lab:
        await case.ready(lab)
        before, states = await lab.books(), await _states(lab)
        failed = break_once(monkeypatch, case)
        stuck = await case.ask(lab)
        assert set(failed) == {stuck.id}
        assert stuck.state == "Stuck"
        assert stuck.error and f"interlock resolve {stuck.id}" in stuck.error
        assert (f"--{way}" in stuck.error) == (way is Way.RETRY or bool(PROGRAMS[case.kind].steps))
        if not PROGRAMS[case.kind].steps and way is not Way.RETRY:
            with pytest.raises(InvalidRequest, match=r"was done with its request.*--retry ends this one"):
                await lab.engine.resolve(stuck.id, way, "it was a defect")
            return
        resolved = await lab.engine.resolve(stuck.id, way, "it was a defect", actor="ada")
        ended = await resolved.ended()
        assert ended.state == ("Succeeded" if way is Way.RETRY else "Failed")
        await assert_at_rest(lab)
        await assert_journaled(lab, stuck)
        if way is Way.RETRY:
            await lab.assert_sound()
            return
        await assert_as_before(lab, case, before, states)
        if way is Way.UNDO:
            if case.kind != "expunge":  # one that stays in Error keeps disks that may be there or not
                await lab.assert_sound()
            if case.kind not in ("deploy", "create-disk"):
                assert (await case.ask(lab)).state == "Succeeded"


async def assert_at_rest(lab: World) -> None:
    """No entity is half-way, and counters equal what is held."""
    assert await lab.engine.check() == []
    for machine, state in (await _states(lab)).values():
        assert MACHINES[machine].states[state].stability is not Stability.TRANSITIONAL


async def assert_journaled(lab: World, stuck: Operation) -> None:
    """Who and why is in the journal, with the operation's own row."""
    rows = await lab.engine._store.journal(_journal_of(stuck.id))
    events = {row.event for row in rows if row.cause == "ada: it was a defect"}
    assert events & {"RetryRequested", "UndoRequested", "AcceptRequested"}


def _journal_of(operation_id: str) -> Any:
    from interlock.schema.tables.history import journal

    return journal.select().where(journal.c.entity_id == operation_id)


async def assert_as_before(lab: World, case: Case, before: Any, states: dict[str, tuple[str, str]]) -> None:
    """What is owned in the records is what was owned, and each stands where it stood."""
    books = await lab.books()
    assert rebooted(books)[:4] == rebooted(before)[:4]
    assert books.charged == before.charged
    after = await _states(lab)
    if case.kind in FORGETS:
        assert (await lab.vm()).state == FORGETS[case.kind]
    elif case.kind == "delete-disk":
        assert (await lab.engine.disk("data")).state == "Destroy"
    else:
        assert {each: after[each] for each in states} == states


async def _states(lab: World) -> dict[str, tuple[str, str]]:
    """Machine and state of everything there is, but operations."""
    vms = await lab.vms()
    nics = [nic for vm in vms for nic in await lab.engine.nics(vm.id)]
    found = (("vm", vms), ("nic", nics), ("volume", await lab.disks()))
    return {each.id: (machine, each.state) for machine, entities in found for each in entities}


@pytest.mark.parametrize("way", Way)
async def test_what_is_not_stuck_has_no_way_out(tmp_path: Path, way: Way) -> None:
    async with world(tmp_path) as lab:
        operation = await lab.deploy()
        with pytest.raises(InvalidRequest, match="is Succeeded, not Stuck"):
            await lab.engine.resolve(operation.id, way, "why not")


@pytest.mark.parametrize(("state", "said"), [("Failed", "no place"), ("Stuck", "no place: h-1 is full (ways out: …)")])
def test_a_person_is_shown_the_ways_out_also_beside_candidates(state: str, said: str) -> None:
    operation = Shell(cloud()).request(REQUEST).operation
    error = "no place: h-1 is full (ways out: …)"
    ended = msgspec.structs.replace(operation, state=state, error=error, reasons=(("h-1", "it is full"),))
    assert headline(ended) == said
