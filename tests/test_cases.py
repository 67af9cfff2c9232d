"""What is asked for at one moment is read together, and each who asks gets what reading it alone would give.

The first half holds `Gather` alone to that, whatever goes wrong. The second reads cases on both databases, and counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from interlock.engine.store import cases, queries
from interlock.engine.store.cases import BATCH, Case
from interlock.engine.store.gather import Gather
from interlock.engine.store.store import Store
from interlock.schema.errors import NotFound, StoreError
from interlock.schema.requests import CreateDisk
from tests.bare import bare
from tests.test_store_idle import statements  # noqa: F401 - a fixture
from tests.world import World, world

MOST = 4
FAILS, BREAKS = 7, 13
"""Questions: one that has an error for an answer, one whose batch cannot be answered at all."""


class Book:
    """Answers with the double; keeps what was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def answer(self, questions: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(questions))
        await asyncio.sleep(0)
        if BREAKS in questions:
            raise StoreError("broken")
        return [NotFound("no") if question == FAILS else 2 * question for question in questions]


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3), st.booleans()), max_size=25))
def test_whoever_asks_gets_the_own_answer(asked: list[tuple[int, int, bool]]) -> None:
    """Asked at any moments, some of which give up."""

    async def run() -> None:
        book = Book()
        gather = Gather(book.answer, MOST, "test")

        async def ask(question: int, later: int) -> int:
            for _ in range(later):
                await asyncio.sleep(0)
            return await gather.ask(question)

        tasks = [asyncio.create_task(ask(question, later)) for question, later, _ in asked]
        await asyncio.sleep(0)
        for task, (_, _, gives_up) in zip(tasks, asked, strict=True):
            if gives_up:
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        broken = {question for batch in book.batches if BREAKS in batch for question in batch}
        for answer, (question, _, gives_up) in zip(answers, asked, strict=True):
            if isinstance(answer, asyncio.CancelledError):
                assert gives_up
            elif isinstance(answer, StoreError) and not isinstance(answer, NotFound):
                assert question in broken
            elif isinstance(answer, NotFound):
                assert question == FAILS
            else:
                assert answer == 2 * question
        assert all(len(batch) <= MOST for batch in book.batches)
        await gather.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


async def test_what_is_asked_together_is_answered_together() -> None:
    book = Book()
    gather = Gather(book.answer, MOST, "test")
    assert await asyncio.gather(*map(gather.ask, range(6))) == [0, 2, 4, 6, 8, 10]
    assert book.batches == [[0, 1, 2, 3], [4, 5]]


# Cases


async def furnished(lab: World) -> list[tuple[str, str | None, str | None]]:
    """VMs with and without data disks, disks of none, and all their operations: id, VM, volume."""
    for number in range(3):
        await lab.deploy(f"vm-{number}", data_disks_mib=(100,) * number)
        disk = await lab.engine.create_disk(CreateDisk(name=f"disk-{number}", offering="fixed", zone="z"))
        await disk.wait()
    await lab.run("attach_disk", "vm-0", disk="disk-0")
    await lab.run("destroy", "vm-2")
    await lab.run("expunge", "vm-2")
    rows = await lab.engine._store.rows(queries.entities("operation", await operations(lab.engine._store)))
    return [(row.id, row.vm_id, row.volume_id) for row in rows]


async def operations(store: Store) -> list[str]:
    """The ids of all there are."""
    return [row.id for row in await store.rows(queries.ids_after("operation", "", 1000))]


async def asked(reading: Any) -> Any:
    """What it gives, or raises."""
    with suppress(NotFound):
        return await reading
    return NotFound


async def test_cases_that_are_read_together_are_what_each_is_alone(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        store, known = lab.engine._store, await furnished(lab)
        wanted = [*(partial_case(id) for id, _, _ in known), *(partial_case(vm, disk) for _, vm, disk in known)]
        wanted += [partial_case(id) for id in ("nobody", "", "\0", "\udcff")]
        wanted += [partial_case(None, "nobody"), partial_case("nobody", None)]
        alone = [await asked(each(store)) for each in wanted]
        assert alone == await asyncio.gather(*(asked(each(store)) for each in wanted))
        assert sum(each is NotFound for each in alone) == 6
        found = [each for each in alone if isinstance(each, Case)]
        assert any(len(each.volumes) == 2 for each in found) and any(each.vm is None for each in found)
        assert any(each.vm is not None and not each.nics for each in found)  # expunged: what is gone is left out


def partial_case(*ids: str | None) -> Any:
    """Reads the case of an operation, by its id; or of a VM and a volume."""
    return lambda store: store.case(*ids) if len(ids) == 1 else store.subject(*ids)


async def test_owners_that_are_read_together_are_what_each_is_alone(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, latency=0.2) as lab:
        await lab.deploy("web")
        disk = await lab.engine.create_disk(CreateDisk(name="disk", offering="fixed", zone="z"))
        await disk.wait()
        attach = await lab.engine.attach_disk("web", "disk")
        store, vm = lab.engine._store, attach.vm_id
        wanted = [(vm, None), (None, disk.volume_id), (vm, disk.volume_id), ("nobody", None), (None, "\0")]
        together = await asyncio.gather(*(store.owners(*each) for each in wanted))
        assert [[owner.id for owner in owners] for owners in together] == [[attach.id]] * 3 + [[]] * 2
        await attach.wait()
        assert [list(await store.owners(*each)) for each in wanted] == [[]] * 5


async def test_a_row_that_cannot_be_understood_is_the_trouble_of_its_own_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as lab:
        store, known = lab.engine._store, await furnished(lab)
        strange, understand = known[0][0], cases._operation

        def operation(row: Any) -> Any:
            if row[0] == strange:
                raise ValueError("no JSON")
            return understand(row)

        monkeypatch.setattr(cases, "_operation", operation)
        found = await asyncio.gather(*(store.case(id) for id, _, _ in known), return_exceptions=True)
        assert [type(each) for each in found] == [ValueError] + [Case] * (len(known) - 1)


async def test_many_cases_take_few_statements(tmp_path: Path, statements: list[str]) -> None:  # noqa: F811
    async with world(tmp_path) as lab:
        known = await furnished(lab)
        many = [id for id, _, _ in known] * (2 * BATCH // len(known))
        statements.clear()
        await asyncio.gather(*map(lab.engine._store.case, many))
        reads = [each for each in statements if each.startswith("SELECT")]
        assert len(many) > BATCH and len(reads) <= 2 * 5


async def test_who_is_on_a_host_is_read_as_counts(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        for number in range(5):
            await lab.deploy(f"vm-{number}")
        await lab.run("stop", "vm-4")
        rows = await lab.engine._store.rows(queries.vms_on_hosts())
        assert len(rows) <= 2 and sum(row[-1] for row in rows) == 4
        commits = lab.engine._orchestrator.commits
        told = [dict(commits.inventory.tenants(host)) for host in ("h-1", "h-2")]
        await commits.reload()
        assert [dict(commits.inventory.tenants(host)) for host in ("h-1", "h-2")] == told
        assert sum(each.get("system", 0) for each in told) == 4


# Which index


def spoken(query: Any) -> str:
    """SQLite's SQL, with its values in it."""
    return str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (queries.driven(), "operation_driven"),
        (queries.stuck(), "operation_active_once"),
        (queries.active_on("vm_id", ["a", "b"]), "operation_active_once"),
        (queries.active_on("volume_id", ["a", "b"]), "operation_volume_once"),
    ],
)
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_what_is_under_way_is_found_without_a_look_at_what_has_ended(
    lived_url: str, query: Any, index: str
) -> None:
    async with bare(lived_url) as database:
        plan = await database.rows(f"EXPLAIN QUERY PLAN {spoken(query)}")
    about = [str(line[-1]) for line in plan if " operation " in str(line[-1])]
    assert about and all(index in line for line in about), plan


def test_the_states_are_said_as_the_index_has_them() -> None:
    """Also as the engine asks, not only with its values written out: bound ones would not do."""
    for dialect in (sqlite.dialect(), postgresql.dialect()):  # type: ignore[no-untyped-call]
        sql = str(queries.driven().compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
        assert "state IN ('Queued', 'Running', 'Retrying', 'Undoing')" in sql
