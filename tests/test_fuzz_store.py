"""The fuzzer's tables in memory say what the database says: the same histories, decision by decision, on both. And an
empty database that is filled from the journal of such a history alone says it, too."""

from __future__ import annotations

import msgspec
import pytest

from interlock.embed.cloud import CloudDescription, rows_of
from interlock.engine.store import queries
from interlock.engine.store.memory import MemoryStore
from interlock.engine.store.refill import refill
from interlock.engine.store.store import Store
from interlock.engine.store.verdict import Committed, Lost, Verdict
from interlock.replay.source import pages
from interlock.schema.cloud import PLACES
from interlock.schema.records import RECORDS
from interlock.schema.rows import reader
from interlock.testing.fuzz import ground
from tests.conftest import Copy
from tests.histories import History, history
from tests.test_refill import tables


@pytest.fixture(scope="module")
def histories() -> list[History]:
    """Some runs: everything that was handed in, and what became of it."""
    return [history("store", number) for number in range(12)]


def _gist(verdict: Verdict) -> object:
    return verdict.first_seq if isinstance(verdict, Committed) else verdict.why


async def test_what_one_takes_the_other_takes_and_what_one_refuses_the_other_refuses(
    copy: Copy, histories: list[History]
) -> None:
    for memory, handed in histories:
        async with copy("current") as url:
            store = await Store.open(url)
            try:
                await store.put(CloudDescription.parse(ground.CLOUD).rows() | rows_of(ground.places()))
                for number, (decision, expected) in enumerate(handed):
                    verdict = await store.commit(msgspec.structs.replace(decision, if_fresh=False))
                    assert _gist(verdict) == _gist(expected), (number, decision.operation, verdict, expected)
                await _same_tables(store, memory)
                await _same_from_the_journal(store, url, copy)
            finally:
                await store.close()
    verdicts = [verdict for _, handed in histories for _, verdict in handed]
    assert {verdict.why for verdict in verdicts if isinstance(verdict, Lost)}, (
        "no race was ever lost: nothing was shown"
    )


async def _same_tables(store: Store, memory: MemoryStore) -> None:
    for name, kind in RECORDS.items():
        rows = map(reader(kind), await store.rows(queries.all_of(name)))
        assert {record.id: record for record in rows} == memory.records[name]
    for name, places in (await store.places()).items():
        if name in PLACES and name != "security_group":
            assert {place.id: place for place in places} == memory.places[name]


async def _same_from_the_journal(store: Store, url: str, copy: Copy) -> None:
    async with copy("current") as new:
        empty = await Store.open(new)
        try:
            assert (await refill(empty, pages(store))).head > 0
        finally:
            await empty.close()
        assert await tables(new) == await tables(url)
