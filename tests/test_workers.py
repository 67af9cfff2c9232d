"""Several engines on one PostgreSQL: who hears what of whom, who takes what, and who takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from interlock import CloudDescription, DeployVM, Engine
from interlock.engine.orchestrator import elsewhere, wishes
from interlock.engine.orchestrator.inventory import Inventory
from interlock.engine.orchestrator.orchestrator import Orchestrator, Part
from interlock.engine.store import queries
from interlock.engine.store.listening import SERVING, Listening, Word
from interlock.engine.store.postgresql import TAKE_LOCK
from interlock.engine.store.workers import Workers
from interlock.schema.cloud import Account
from interlock.schema.errors import InvalidRequest
from interlock.schema.holdings import COUNTERS
from interlock.schema.settings import EXPUNGE_DELAY
from tests.bare import Bare, bare, value
from tests.conftest import copied_database
from tests.dying import Holding, doomed
from tests.postgres import Server
from tests.test_recovery import held
from tests.witness import noted
from tests.world import CLOUD, QUICK, World, cloud, world

PATIENCE = 60.0
"""Seconds that a test waits for what must come. Too low: a busy machine fails it; too high: a hang is found late."""


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    """An empty PostgreSQL database."""
    async with copied_database(server, None) as made:
        yield made


@pytest.fixture(autouse=True)
def simulators_lie_among_what_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that only asks opens the simulator, too: a file in the folder it runs in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nobody_looks_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noticed here is noticed because it was told."""
    monkeypatch.setattr(elsewhere, "LOOK", 3600.0)
    monkeypatch.setattr(elsewhere, "LOOK_ANYHOW", 3600.0)


def wish(number: int) -> DeployVM:
    return DeployVM(name=f"vm-{number}", offering="small", template="t")


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not met():
            await asyncio.sleep(0.005)


def serving(lab: World, url: str, **more: Any) -> Any:
    return Engine.open(url, serves=True, drivers={"simulator": lab.simulator}, policy=QUICK, **more)


async def held_up(looking: Bare) -> None:
    """Return when somebody waits for a row that another's transaction holds."""
    here = "datname = current_database() AND wait_event = 'transactionid'"
    while not await value(looking, f"SELECT count(*) FROM pg_stat_activity WHERE {here}"):
        await asyncio.sleep(0.01)


# --- what is only asked for


async def test_what_is_only_asked_for_is_driven_by_those_that_serve_and_by_each_once(tmp_path: Path, url: str) -> None:
    """The world's own engine drives as well, but leaves the queue to those that serve."""
    async with (
        world(tmp_path, url=url, description=cloud(hosts=8)) as lab,
        Engine.open(url, drives=False) as asking,
        serving(lab, url, in_flight=3) as one,
        serving(lab, url, in_flight=4) as two,
    ):
        handles = [await asking.deploy(wish(number)) for number in range(20)]
        ends = await asyncio.wait_for(asyncio.gather(*(handle.ended() for handle in handles)), PATIENCE)
        assert {end.state for end in ends} == {"Succeeded"}
        assert (asking.under_way(), asking.counters.decisions) == (0, 20)
        claims = [
            row for handle in handles for row in await lab.engine.history(handle.subject) if row.event == "Claimed"
        ]
        assert len(claims) == 20
        assert {row.changed["worker_id"] for row in claims} <= {one.worker_id, two.worker_id}
        await lab.assert_sound()


async def test_what_waits_is_taken_by_one_that_comes_later_no_more_than_it_has_room_for(
    tmp_path: Path, url: str
) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, description=cloud(hosts=8), wrap=wrap) as lab:
        async with Engine.open(url, drives=False) as asking:
            for number in range(10):
                await asking.deploy(wish(number))
        made[-1].hold("StartDomain")
        async with Engine.open(url, serves=True, in_flight=3, drivers={"simulator": made[-1]}, policy=QUICK) as late:
            await asyncio.wait_for(made[-1].held.wait(), PATIENCE)
            await until(lambda: late.under_way() == 3)
            async with bare(url) as database:
                assert await value(database, "SELECT count(*) FROM operation WHERE worker_id IS NULL") == 7
            made[-1].let_go.set()
            made[-1].hold()
            await until(lambda: late.counters.decisions >= 30)
            await late.idle()
        await lab.engine.idle()
        await lab.assert_sound()


async def test_two_that_ask_for_the_same_are_given_different_ones(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, url=url, description=cloud(hosts=8)) as lab, Engine.open(url, drives=False) as asking:
        asked = [(await asking.deploy(wish(number))).id for number in range(12)]
        workers = Workers(lab.engine._store)
        given = await asyncio.gather(*(workers.take(f"w-{number % 3}", 3) for number in range(6)))
        assert sorted(each for some, _ in given for each in some) == sorted(asked)
        # They were given to nobody that has a lease: whoever opens takes them.
        async with serving(lab, url) as worker:
            await until(lambda: worker.under_way() > 0 or worker.counters.decisions > 0)
            await worker.idle()
        await lab.assert_sound()


async def test_one_whose_find_another_has_just_been_given_looks_again(tmp_path: Path, url: str) -> None:
    """Nobody says a second time that something waits."""
    async with world(tmp_path, url=url, description=cloud()) as lab, Engine.open(url, drives=False) as asking:
        first, second = [await asking.deploy(wish(number)) for number in range(2)]
        async with bare(url) as other, bare(url) as looking:
            await other.run("BEGIN")
            await other.run(f"INSERT INTO claim (operation_id, worker_id) VALUES ('{first.id}', 'other')")
            async with serving(lab, url, in_flight=1) as worker:
                await held_up(looking)
                assert worker.counters.decisions == 0
                await other.run("COMMIT")
                assert (await asyncio.wait_for(second.ended(), PATIENCE)).state == "Succeeded"


async def test_with_nobody_that_serves_an_engine_that_opens_takes_what_waits(tmp_path: Path, url: str) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, description=cloud(), wrap=wrap) as lab:
        async with Engine.open(url, drives=False) as asking:
            handle = await asking.deploy(wish(1))
        made[-1].hold("StartDomain")  # else it may be done before the engine is open
        async with Engine.open(url, drivers={"simulator": made[-1]}, policy=QUICK) as other:
            assert other.under_way() == 1
            assert (await other.handle(handle.id)).id == handle.id
            made[-1].let_go.set()
            await other.idle()
        assert (await lab.vm("vm-1")).state == "Running"


async def test_an_engine_on_sqlite_does_not_serve(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="PostgreSQL"):
        async with Engine.open(str(tmp_path / "x.db"), serves=True):
            pass


# --- who hears what


async def test_a_subscriber_hears_what_another_engine_writes(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, url=url, description=cloud()) as lab, Engine.open(url, recover=False) as looking:
        seen: list[int] = []

        async def follow() -> None:
            async for row in looking.subscribe(after=0):
                seen.append(row.seq)

        following = asyncio.create_task(follow())
        await until(lambda: len(seen) > 0)
        await lab.deploy("web")
        head = (await lab.engine._store.rows(queries.journal_head()))[0][0]
        await until(lambda: seen[-1] == head)
        assert seen == list(range(1, head + 1))
        following.cancel()


async def test_an_idle_engine_takes_over_when_the_lease_ends_of_one_that_died(tmp_path: Path, url: str) -> None:
    """Nobody asks it anything, and it has seen nothing of the other's work."""
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, description=cloud()) as idle:
        async with doomed(tmp_path, url, wrap) as other:
            await held(other, made[-1], "StartDomain")
        await until(lambda: idle.engine.under_way() == 1)
        await idle.engine.idle()
        await idle.assert_sound()


async def test_an_engine_that_drains_hands_over_at_once(tmp_path: Path, url: str) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, description=cloud()) as idle:
        async with world(tmp_path, url=url, wrap=wrap) as leaving:
            handle = await held(leaving, made[-1], "CreateVolume")
            closing = asyncio.create_task(leaving.engine._orchestrator.close())
            await asyncio.sleep(0)
            made[-1].let_go.set()
            await closing
            await until(lambda: idle.engine.under_way() == 1)
        await idle.engine.idle()
        rows = await idle.engine.history(handle.vm_id)
        assert [row.event for row in rows].count("Claimed") == 2
        await idle.assert_sound()


async def test_places_and_settings_of_another_engine_are_known_without_asking(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, url=url, description=cloud()) as lab, world(tmp_path, url=url) as other:
        more = CLOUD.format(hosts=2, memory=8192, space=100_000) + '[[accounts]]\nname = "adam"\n'
        await lab.engine.load(CloudDescription.parse(more))
        await lab.engine.set_setting("expunge.delay", 77)
        inventory = other.engine._orchestrator.commits.inventory
        await until(lambda: inventory.find(Account, "adam") is not None)
        await until(lambda: inventory.setting(EXPUNGE_DELAY) == 77)
        assert (await other.deploy("web", account="adam")).state == "Succeeded"


async def test_what_is_heard_through_a_restart_of_the_server(server: Server, tmp_path: Path, url: str) -> None:
    """The connection that listens is made again, and one word then says that anything may have happened."""
    async with world(tmp_path, url=url, description=cloud()) as lab, world(tmp_path, url=url) as other:
        async with bare(server.url("postgres")) as admin:
            cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            assert await value(admin, cut) >= 2
        listening = other.engine._store._listening
        assert listening is not None
        await until(lambda: listening._again is None and listening._connection is not None)
        handle = await lab.engine.deploy(wish(1))
        waited = await asyncio.wait_for((await other.engine.handle(handle.id)).ended(), PATIENCE)
        assert waited.state == "Succeeded"


async def test_the_lock_of_those_that_serve_ends_with_their_session(tmp_path: Path, url: str) -> None:
    held_by = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = {SERVING}"
    async with world(tmp_path, url=url, description=cloud()) as lab, bare(url) as database:
        async with serving(lab, url):
            assert await value(database, held_by) == 1
        async with asyncio.timeout(PATIENCE):
            while await value(database, held_by):
                await asyncio.sleep(0.01)


# --- what is wanted of what another drives


async def test_what_another_engine_drives_is_cancelled_through_it(tmp_path: Path, url: str) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, description=cloud(), wrap=wrap) as one, world(tmp_path, url=url) as other:
        handle = await held(one, made[-1], "StartDomain")
        wish = asyncio.create_task((await other.engine.handle(handle.id)).cancel())
        await asyncio.wait_for(wish, PATIENCE)
        assert (await other.engine.history(handle.vm_id))[-1].event == "CancelRequested"
        with pytest.raises(InvalidRequest, match="nothing to cancel"):
            await (await other.engine.handle(handle.id)).cancel()
        made[-1].let_go.set()
        assert (await asyncio.wait_for(handle.ended(), PATIENCE)).state == "Cancelled"
        rows = await one.engine.history(handle.vm_id)
        assert [row.event for row in rows].count("Claimed") == 1
        await one.assert_sound()


async def test_what_waits_for_workers_is_cancelled_by_whoever_wants_that(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, url=url, description=cloud()) as lab, Engine.open(url, drives=False) as asking:
        handle = await asking.deploy(wish(1))
        await (await lab.engine.handle(handle.id)).cancel()
        assert (await asyncio.wait_for(handle.ended(), PATIENCE)).state == "Cancelled"
        await lab.engine.idle()
        await lab.assert_sound()


async def test_what_ends_while_who_waits_begins_to_listen_is_seen(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, url=url, description=cloud()) as lab, Engine.open(url, drives=False) as asking:
        handle = await asking.deploy(wish(1))
        store, ended = asking._store, asyncio.Event()
        listen = store.listen

        async def ends_meanwhile() -> None:
            if not ended.is_set():
                ended.set()
                await (await lab.engine.handle(handle.id)).cancel()
                await lab.engine.idle()
            await listen()

        monkeypatch.setattr(store, "listen", ends_meanwhile)
        assert (await asyncio.wait_for(handle.ended(), PATIENCE)).state == "Cancelled"
        assert ended.is_set()


async def test_who_wants_to_listen_while_that_is_begun_waits_for_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, begun, go_on = Listening.begin, asyncio.Event(), asyncio.Event()

    async def slowly(listening: Listening) -> None:
        begun.set()
        await go_on.wait()
        await begin(listening)

    monkeypatch.setattr(Listening, "begin", slowly)
    async with Engine.open(url, drives=False) as asking:
        one = asyncio.create_task(asking._store.listen())
        await begun.wait()
        two = asyncio.create_task(asking._store.listen())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not two.done()
        go_on.set()
        await asyncio.wait_for(asyncio.gather(one, two), PATIENCE)
        assert asking._store.listens


async def test_a_wish_that_nobody_hears_is_refused(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes, "HEARD_WITHIN", 0.1)
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, description=cloud()) as lab, world(tmp_path, url=url, wrap=wrap) as other:
        handle = await held(other, made[-1], "StartDomain")
        monkeypatch.setattr(other.engine._store, "on_heard", lambda word: None)  # it is cut off
        with pytest.raises(InvalidRequest, match="did not hear"):
            await (await lab.engine.handle(handle.id)).cancel()
        made[-1].let_go.set()
        assert (await handle.ended()).state == "Succeeded"


# --- addresses


async def test_engines_that_were_after_the_same_addresses_do_not_go_on_to_be(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, url=url, description=cloud(hosts=8)) as one, world(tmp_path, url=url) as two:
        for number in range(4):
            await asyncio.gather(
                *(lab.deploy(f"vm-{number}-{side}-{each}") for each in range(5) for side, lab in enumerate((one, two)))
            )
        asides = [lab.engine._orchestrator.commits.inventory.books.aside for lab in (one, two)]
        assert any(asides), "they never were after the same address"
        addresses = (await one.books()).addresses
        assert len(addresses) == len(set(addresses)) == 40
        await one.assert_sound()


# --- conflicts


async def test_a_deadlock_with_another_program_is_asked_again_and_counted(tmp_path: Path, url: str) -> None:
    """It holds the row of a host that a deploy takes room of, and then wants the journal's lock."""
    async with world(tmp_path, url=url, description=cloud(hosts=1)) as lab, bare(url) as other:
        await lab.deploy("first")
        await other.run("SET deadlock_timeout = '60s'")
        await other.run("BEGIN")
        await other.run("UPDATE host SET cpu_used_mhz = cpu_used_mhz")
        deploying = asyncio.create_task(lab.deploy("web"))
        async with bare(url) as looking, asyncio.timeout(PATIENCE):
            await held_up(looking)
        await other.run(TAKE_LOCK)
        await other.run("COMMIT")
        assert (await asyncio.wait_for(deploying, PATIENCE)).state == "Succeeded"
        assert lab.engine.conflicts.deadlocks >= 1
        assert lab.engine.conflicts.serialization_failures == 0
        await lab.assert_sound()


async def test_who_waits_looks_once_for_the_end_and_not_for_each_step(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[Word] = []
    looked: list[list[str]] = []
    heard, ended = Orchestrator.heard, elsewhere.Elsewhere._ended

    def hearing(self: Orchestrator, word: Word) -> None:
        if self.part is Part.ASKS and word.wrote:
            words.append(word)
        heard(self, word)

    async def looking(self: elsewhere.Elsewhere) -> list[str]:
        looked.append(await ended(self))
        return looked[-1]

    monkeypatch.setattr(Orchestrator, "heard", hearing)
    monkeypatch.setattr(elsewhere.Elsewhere, "_ended", looking)
    made, wrap = noted(Holding)
    async with world(tmp_path, url=url, wrap=wrap), Engine.open(url, drives=False) as asking:
        await asking._store.listen()
        made[-1].hold("StartDomain")
        async with Engine.open(url, serves=True, drivers={"simulator": made[-1]}, policy=QUICK):
            handle = await asking.deploy(wish(1))
            ends = asyncio.create_task(handle.ended())
            await until(lambda: handle.id in asking._orchestrator.elsewhere._waiting and len(words) == 2)
            made[-1].let_go.set()
            assert (await asyncio.wait_for(ends, PATIENCE)).state == "Succeeded"
    assert [word.midway for word in words] == [True, True, False]
    assert looked == [[handle.id]]


async def test_a_second_who_waits_does_not_take_the_word_from_the_first(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, url=url) as lab:
        waits = lab.engine._orchestrator.elsewhere
        async with waits.watched("some") as first:
            waits.wake("some")
            async with waits.watched("some") as second:
                assert first.is_set() and not second.is_set()


async def test_who_begins_to_wait_later_does_not_pass_over_what_ended_for_the_first(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both begin at once; the second is slow to learn the journal's head, and meanwhile much is written."""
    async with world(tmp_path, url=url) as lab:
        waits, heads = lab.engine._orchestrator.elsewhere, iter([10, 20])
        both = asyncio.Barrier(2)

        async def head() -> int:
            found = next(heads)
            for _ in range(found):
                await asyncio.sleep(0)  # the later answer is the higher one
            return found

        async def wait() -> int:
            async with waits.watched("some"):
                await both.wait()
                return waits._read_to

        monkeypatch.setattr(waits, "_head", head)
        assert list(await asyncio.gather(wait(), wait())) == [10, 10]


# --- figures follow


async def test_figures_that_follow_the_journal_are_those_that_are_read(tmp_path: Path, url: str) -> None:
    """Whatever another engine does: hosts, pools, accounts, who is where, and which addresses are owned."""
    async with world(tmp_path, url=url, description=cloud(hosts=4)) as lab, world(tmp_path, url=url) as other:
        await lab.deploy("mine")  # opens the address book
        await other.deploy("web")
        await other.deploy("two")
        for kind in ("stop", "start", "migrate", "stop", "assign", "start", "destroy", "expunge"):
            await other.run(kind, "web", **({"account": "eve"} if kind == "assign" else {}))
            await lab.engine._orchestrator.commits.catch_up()
            await _assert_as_read(lab.engine)


async def _assert_as_read(engine: Engine) -> None:
    """What is in memory is what reading all of it anew would give."""
    store, followed = engine._store, engine._orchestrator.commits.inventory
    fresh = Inventory(await store.places())
    await store.read_between(fresh.reload, queries.usage(), queries.vms_on_hosts(), queries.journal_head())
    for name in COUNTERS:
        assert followed._places[name] == fresh._places[name]
    assert vars(followed._tenancy) == vars(fresh._tenancy)
    for network_id, book in followed.books._open.items():
        rows = await store.rows(queries.addresses_of(network_id))
        taken = {address for row in rows for address in row if address is not None}
        assert {address for address in ALL if book.is_taken(address)} == taken & ALL


ALL = {f"10.{network}.0.{number}" for network in (0, 1) for number in range(256)}
