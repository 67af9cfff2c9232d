"""Metrics say what the journal says; a scrape is what Prometheus reads; without them nothing of it is there."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as Theirs
from structlog.testing import capture_logs

from benchmarks import telemetry
from benchmarks.result import Result
from interlock import Engine, InterlockError, InvalidRequest, Way
from interlock.drivers.simulator import FaultKind
from interlock.engine.core.decision import Decision
from interlock.engine.observer import Observer
from interlock.engine.orchestrator import drives, log
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.effects import Performer
from interlock.engine.orchestrator.view import View
from interlock.engine.store import standing
from interlock.engine.store.store import Store
from interlock.schema.cloud import Cluster, Host, StoragePool
from interlock.schema.errors import StoreError
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.telemetry import fill
from interlock.telemetry.histogram import COUNTS, SECONDS, Histogram
from interlock.telemetry.metrics import Exposition, Metrics
from interlock.telemetry.serving import address_of, serving
from interlock.telemetry.table import METRICS, Kind
from tests.bare import bare, sqlite_url
from tests.dying import Holding, doomed
from tests.metrics_document import DOCUMENT, document
from tests.scraped import Scrape, Truth, fresh
from tests.witness import noted
from tests.world import World, cloud, world

UNITS = ("_seconds", "_bytes", "_hertz", "_ratio")


def test_the_document_is_what_the_table_says() -> None:
    text = DOCUMENT.read_text()
    assert text == document(text), "run: python -m tests.metrics_document"
    assert f"the {fill.MOST} fullest" in text


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: each.name)
def test_names_are_as_prometheus_wants_them(metric: Any) -> None:
    assert re.fullmatch(r"interlock(_[a-z]+)+", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_milliseconds", "_mib", "_mhz"))
    assert metric.kind is not Kind.HISTOGRAM or metric.bounds == tuple(sorted(metric.bounds))
    assert metric.kind is not Kind.HISTOGRAM or metric.name.endswith((*UNITS, "_decisions"))
    assert len(metric.labels) <= 4 and not {"vm", "operation", "host"} & set(metric.labels)


# --- what is counted


async def test_a_scrape_has_every_metric_of_the_table_with_its_type_and_labels(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        await lab.deploy()
        families = (await fresh(registry)).families
    assert list(families) == [metric.name for metric in METRICS]
    for metric in METRICS:
        family = families[metric.name]
        assert (family.type, family.documentation) == (metric.kind.value, metric.help)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(metric.labels)


COMMANDS = ("PrepareNic", "CreateVolume", "StartDomain", "StopDomain", "MigrateDomain", "DeleteVolume")
FAULTS = (FaultKind.REFUSE, FaultKind.REFUSE_VM, FaultKind.TRANSIENT, FaultKind.FAIL_UNKNOWN, FaultKind.LOST_REPLY)
KINDS = ("stop", "start", "reboot", "migrate", "destroy", "expunge", "recover")


async def live(lab: World, chance: random.Random) -> None:
    """A few requests at once, some of them with a fault on their way, some refused, some cancelled."""
    for _ in range(chance.randrange(4)):
        await lab.order(chance.choice(COMMANDS), chance.choice(FAULTS), chance.randrange(1, 4))
    await asyncio.gather(*(_ask(lab, chance) for _ in range(chance.randrange(2, 8))))
    await asyncio.sleep(chance.choice((0.0, 0.003, 0.01, 0.03)))


async def _ask(lab: World, chance: random.Random) -> None:
    name = f"vm-{chance.randrange(4)}"
    try:
        if chance.random() < 0.5:
            handle = await lab.engine.deploy(lab.request(name, start=chance.random() < 0.8))
        else:
            handle = await getattr(lab.engine, chance.choice(KINDS))(name)
        if chance.random() < 0.2:
            await handle.cancel()
    except InterlockError:
        pass


async def _life_and_death(seed: int, folder: Path) -> tuple[Scrape, Truth]:
    """Engines that die, one after the other, on one database; the last one brings all to an end."""
    chance, registry, url = random.Random(seed), CollectorRegistry(), sqlite_url(folder / "interlock.db")
    metrics = Metrics(registry)
    for _ in range(chance.randrange(1, 3)):
        async with doomed(folder, url, observers=[metrics], description=cloud(), latency=0.005) as lab:
            await live(lab, chance)
    async with world(folder, url=url, observers=[metrics], description=cloud()) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE)  # by whomever it is met, that one is placed anew
        await lab.deploy("last")
        await live(lab, chance)
        await lab.engine.idle()
        return Scrape(registry), await Truth.of(lab)


SEEN: Counter[str] = Counter()


@settings(max_examples=6)
@given(st.integers(0, 2**32))
def _what_is_counted_is_what_the_journal_says(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scrape, truth = asyncio.run(_life_and_death(seed, Path(folder)))
    truth.assert_counted(scrape)
    SEEN.update(state for _, state in truth.outcomes)
    SEEN.update(takeovers=truth.takeovers.total(), replans=truth.replans.total())


def test_what_is_counted_is_what_the_journal_says_whatever_happens() -> None:
    SEEN.clear()
    _what_is_counted_is_what_the_journal_says()
    assert all(SEEN[what] for what in ("Succeeded", "takeovers", "replans")), SEEN


async def test_two_engines_on_one_database_count_each_what_they_did(tmp_path: Path, database_url: str) -> None:
    registry = CollectorRegistry()
    shared = Exposition(registry)
    east, west = (Metrics(shared, engine=name) for name in ("east", "west"))
    (tmp_path / "west").mkdir()
    async with (
        world(tmp_path, url=database_url, observers=[east]) as one,
        world(tmp_path / "west", url=database_url, observers=[west]) as other,
    ):
        named = [(f"{name}-{number}", lab) for number in range(3) for name, lab in (("a", one), ("b", other))]
        await asyncio.gather(*(lab.deploy(name) for name, lab in named))
        truth, scrape = await Truth.of(one), Scrape(registry)
    both = {
        engine: scrape.value("interlock_operations_total", engine=engine, kind="deploy", outcome="Succeeded")
        for engine in ("east", "west")
    }
    assert both == {"east": 3, "west": 3}
    summed: Counter[tuple[str, str]] = Counter()
    for (_, event, machine), value in scrape.series("interlock_transitions_total").items():
        summed[event, machine] += int(value)
    assert summed == truth.transitions
    with pytest.raises(InvalidRequest, match="other values"):
        Metrics(shared, engine="east")
    with pytest.raises(InvalidRequest, match="other values"):
        Metrics(shared, worker="north")


async def test_a_request_in_the_callers_own_transaction_is_counted_when_it_is_committed(
    tmp_path: Path, database_url: str
) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, url=database_url, observers=[Metrics(registry)]) as lab:
        async with lab.engine.transaction() as connection:
            web = await lab.engine.deploy(lab.request(), connection=connection)
            assert Scrape(registry).series("interlock_requests_total") == {}
        await web.wait()
        with pytest.raises(ZeroDivisionError):
            async with lab.engine.transaction() as connection:
                await lab.engine.deploy(lab.request("never"), connection=connection)
                raise ZeroDivisionError
        await lab.engine.idle()
        (await Truth.of(lab)).assert_counted(Scrape(registry))


async def test_what_was_written_though_the_connection_broke_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, broken = CollectorRegistry(), []
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        database = lab.engine._store._writer.database
        write = database.write

        async def breaks(decisions: list[Decision], *others: Any) -> Any:
            written = await write(decisions, *others)
            if len(broken) < 3 and decisions[0].operation.version > 1:
                broken.append(written)
                raise StoreError("the connection broke after the commit")
            return written

        monkeypatch.setattr(database, "write", breaks)
        assert (await lab.deploy()).state == "Succeeded"
        assert len(broken) == 3
        (await Truth.of(lab)).assert_counted(Scrape(registry))


async def test_steps_and_effects_are_timed_by_what_they_came_to(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        await lab.order("CreateVolume", FaultKind.TRANSIENT)
        refused = await lab.order("StartDomain", FaultKind.REFUSE)
        assert (await lab.deploy()).attempt == 2
        assert await lab.simulator.fired(refused)
        scrape = Scrape(registry)
    steps = scrape.series("interlock_step_seconds_count")
    assert steps == {
        ("do", "deploy", "done", "prepare"): 2,
        ("do", "deploy", "refused", "domain"): 1,
        ("do", "deploy", "done", "domain"): 1,
        ("undo", "deploy", "done", "domain"): 1,
        ("undo", "deploy", "done", "prepare"): 1,
    }
    effects = scrape.series("interlock_effect_seconds_count")
    assert effects["CreateVolume", "simulator", "transient"] == 1
    assert effects["CreateVolume", "simulator", "done"] == 2
    assert effects["StartDomain", "simulator", "permanent"] == 1
    assert scrape.series("interlock_retries_total") == {("do", "deploy"): 1}
    assert scrape.series("interlock_replans_total") == {("deploy",): 1}
    spent = scrape.value("interlock_operation_seconds_sum", kind="deploy", outcome="Succeeded")
    assert 0 < sum(scrape.series("interlock_step_seconds_sum").values()) <= spent


async def test_conflicts_and_batches_are_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        asked = [lab.engine.deploy(lab.request("same", start=False)) for _ in range(5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, InvalidRequest) for answer in answers) == 4
        await lab.engine.idle()
        scrape, counters = Scrape(registry), msgspec.structs.replace(lab.engine.counters)
    lost = scrape.value("interlock_conflicts_total", why="name")
    assert lost >= 4 and len(scrape.series("interlock_conflicts_total")) == 1
    assert scrape.value("interlock_batch_decisions_sum") == counters.decisions
    assert scrape.value("interlock_store_transactions_total") == counters.commits
    assert scrape.value("interlock_store_statements_total") == counters.statements
    assert scrape.value("interlock_store_batches_alone_total") == counters.retried_alone >= 1
    assert scrape.value("interlock_commit_seconds_count") == counters.decisions - lost


async def test_a_state_that_passes_its_deadline_is_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        fault = await lab.order("StartDomain", FaultKind.HANG)
        handle = await lab.engine.deploy(lab.request())
        while not await lab.simulator.fired(fault):
            await asyncio.sleep(0.001)
        assert Scrape(registry).value("interlock_effects_running") == 1
        alarms = [timer for timer in asyncio.get_running_loop()._scheduled if "Drive._sleep" in repr(timer)]  # type: ignore[attr-defined]
        assert alarms
        for alarm in alarms:
            alarm._run()
            alarm.cancel()
        assert (await asyncio.wait_for(handle.ended(), 10)).state == "Failed"
        scrape = Scrape(registry)
    assert scrape.series("interlock_overdue_total") == {("vm", "Starting"): 1}
    assert scrape.series("interlock_effect_seconds_count")["StartDomain", "simulator", "cut"] == 1
    assert scrape.value("interlock_effects_running") == 0


# --- what stands


async def test_what_waits_is_shown(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "IN_FLIGHT", 2)
    registry = CollectorRegistry()
    made, wrap = noted(Holding)
    async with world(tmp_path, url=database_url, wrap=wrap, observers=[Metrics(registry)]) as lab:
        made[0].hold("StartDomain")
        handles = [await lab.engine.deploy(lab.request(f"vm-{number}")) for number in range(5)]
        await asyncio.wait_for(made[0].held.wait(), 10)
        scrape = await fresh(registry)
        assert scrape.value("interlock_operations_driven") == 2
        assert scrape.value("interlock_operations_queued") == 3
        assert scrape.series("interlock_operations_active") == {("Queued",): 3, ("Running",): 2}
        made[0].let_go.set()
        for handle in handles:
            await handle.wait()
        scrape = await fresh(registry)
        assert scrape.series("interlock_operations_active") == {}
        assert scrape.value("interlock_operations_driven") == scrape.value("interlock_operations_queued") == 0


async def test_stuck_ones_are_shown_by_every_engine(tmp_path: Path, database_url: str) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, url=database_url) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        await lab.order("StopDomain", FaultKind.REFUSE_VM)
        stuck = await lab.deploy()
        assert stuck.state == "Stuck"
    async with world(tmp_path, url=database_url, observers=[Metrics(registry)]) as lab:
        assert (await fresh(registry)).series("interlock_operations_active") == {("Stuck",): 1}
        await (await lab.engine.resolve(stuck.id, Way.UNDO, "well again")).ended()
        assert (await fresh(registry)).series("interlock_operations_active") == {}


LONG = max(state.within or 0 for machine in MACHINES.values() for state in machine.states.values()) * 1_000_000


async def test_states_that_nobody_leaves_in_time_are_shown(tmp_path: Path, database_url: str) -> None:
    made, wrap = noted(Holding)
    async with world(tmp_path, url=database_url, wrap=wrap) as lab:
        await lab.deploy("other")
        made[0].hold("StartDomain", "CreateVolume")
        handle = await lab.engine.deploy(lab.request("web"))
        await asyncio.wait_for(made[0].held.wait(), 10)
        vm, volumes = await lab.vm("web"), await lab.engine.volumes((await lab.vm("web")).id)
        nics = await lab.engine.nics(vm.id)
        assert await _late(lab.engine, now()) == {}
        within = MACHINES["volume"].states["Creating"].within
        assert within is not None
        due = max(volumes[0].since, vm.since) + within * 1_000_000
        assert await _late(lab.engine, due - 1_000_000) == {}
        expected = {
            ("operation", "Running"): 1,
            ("vm", vm.state): 1,
            ("volume", volumes[0].state): 1,
            ("nic", nics[0].state): 1,
        }
        transitional = {
            (machine, state): count
            for (machine, state), count in expected.items()
            if MACHINES[machine].states[state].stability is Stability.TRANSITIONAL
        }
        assert ("volume", "Creating") in transitional
        assert await _late(lab.engine, now() + 2 * LONG) == transitional
        made[0].let_go.set()
        await handle.wait()
        assert await _late(lab.engine, now() + 2 * LONG) == {}


async def _late(engine: Engine, at: int) -> dict[tuple[str, str], int]:
    return {
        (machine, state): count
        for query in standing.overdue(at)
        for machine, state, count in await engine._store.rows(query)
    }


@pytest.mark.parametrize("query", [standing.active(), *standing.overdue(0)], ids=lambda each: str(each)[7:40])
async def test_what_is_read_touches_what_is_under_way(tmp_path: Path, query: Any) -> None:
    store = await Store.open(str(tmp_path / "interlock.db"))
    sql = store._spoken(query)
    await store.close()
    async with bare(sqlite_url(tmp_path / "interlock.db")) as database:
        plan = [row[-1] for row in await database.rows(f"EXPLAIN QUERY PLAN {sql}")]
    scans = [step for step in plan if step.startswith("SCAN")]
    assert all(
        re.match(r"SCAN operation USING .*INDEX operation_(driven|active_once|volume_once)", each) for each in scans
    ), plan
    assert any("USING" in step for step in plan)


async def test_how_full_the_cloud_is_is_what_is_held_of_it(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        for number in range(3):
            await lab.deploy(f"vm-{number}")
        scrape, places = Scrape(registry), await lab.engine.places()
    hosts = [each for each in places["host"] if isinstance(each, Host)]
    pools = {each.id: each for each in places["storage_pool"] if isinstance(each, StoragePool)}
    assert isinstance(places["cluster"][0], Cluster) and len(places["cluster"]) == 1
    mebi = 1024 * 1024
    assert scrape.value("interlock_cpu_held_hertz", cluster="c", zone="z") == 3e9
    assert scrape.value("interlock_cpu_capacity_hertz", cluster="c", zone="z") == sum(h.cpu_mhz for h in hosts) * 1e6
    assert scrape.value("interlock_memory_held_bytes", cluster="c", zone="z") == 3 * 1024 * mebi
    assert (
        scrape.value("interlock_memory_capacity_bytes", cluster="c", zone="z")
        == sum(h.memory_mib for h in hosts) * mebi
    )
    held = scrape.series("interlock_storage_held_bytes")
    assert held == {(name, "z"): pool.used_mib * mebi for name, pool in pools.items()} and sum(held.values()) > 0
    assert scrape.series("interlock_addresses_held") == {("net", "z"): 3}
    assert scrape.series("interlock_addresses_capacity") == {("net", "z"): 254}


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 9), st.integers(0, 9)), max_size=60)
)
def test_places_are_bounded_and_nothing_is_lost(rows: list[tuple[str, int, int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill, "MOST", 4)
        summed = fill.summed(((zone, str(place)), held, held + more) for zone, place, held, more in rows)
        bounded = fill.bounded(summed)
    for zone in "ab":
        for column in (1, 2):
            assert sum(row[column] for row in bounded if row[0][0] == zone) == sum(
                row[column + 1] if column == 1 else row[2] + row[3] for row in rows if row[0] == zone
            )
    named = [row for row in bounded if row[0][1] != fill.OTHERS]
    assert len(named) <= 4 and len(bounded) <= 4 + 2
    others = [row for row in summed if row[0] not in {each[0] for each in named}]
    assert all(fill.share(one) >= fill.share(other) for one in named for other in others)


class Shown:
    """A view of a cloud that no engine has."""

    def __init__(self, *places: Any) -> None:
        self._places = places

    def places(self, kind: type[Any]) -> list[Any]:
        return [place for place in self._places if type(place) is kind]


def test_local_pools_are_one_for_each_zone() -> None:
    pool = partial(StoragePool, driver="sim", size_mib=10, used_mib=4)
    local = [pool(id=f"{zone}-{n}", zone_id=zone, scope="host", host_id=f"h{n}") for zone in "ab" for n in range(500)]
    rows = fill.bounded(fill.summed(fill._pools(Shown(*local, pool(id="nfs", zone_id="a", scope="zone")))))  # type: ignore[arg-type]
    mebi = 1024 * 1024
    assert {labels: (held, whole) for labels, held, whole in rows} == {
        ("a", fill.LOCAL): (2000 * mebi, 5000 * mebi),
        ("b", fill.LOCAL): (2000 * mebi, 5000 * mebi),
        ("a", "nfs"): (4 * mebi, 10 * mebi),
    }


@given(st.lists(st.floats(0, 4000) | st.sampled_from(SECONDS)), st.sampled_from([SECONDS, COUNTS]))
def test_a_histogram_is_what_prometheus_client_counts(values: list[float], bounds: tuple[float, ...]) -> None:
    ours, theirs = Histogram(bounds), Theirs("theirs", "-", buckets=bounds, registry=None)
    for value in values:
        ours.add(value)
        theirs.observe(value)
    counts, total = ours.read()
    expected = {
        sample.labels["le"]: sample.value
        for family in theirs.collect()
        for sample in family.samples
        if "le" in sample.labels
    }
    assert {float(le): count for le, count in counts} == {float(le): count for le, count in expected.items()}
    assert total == pytest.approx(sum(values))


@pytest.mark.parametrize("name", ["serialization_failures", "deadlocks"])
async def test_what_is_done_again_for_others_is_counted_and_goes_on_with_the_next_engine(
    tmp_path: Path, name: str
) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for times in (2, 3):
        async with world(tmp_path, observers=[metrics]) as lab:
            setattr(lab.engine._store.conflicts, name, times)
    assert Scrape(registry).value(f"interlock_store_{name}_total") == 5


# --- serving


async def test_metrics_are_served_and_nothing_is_left(tmp_path: Path) -> None:
    registry, before = CollectorRegistry(), set(threading.enumerate())
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        await lab.deploy()
        with serving("127.0.0.1:0", registry) as url:
            with pytest.raises(InvalidRequest, match="choose another address"), serving(url.split("/")[2], registry):
                pass
            text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        assert 'interlock_operations_total{kind="deploy",outcome="Succeeded"} 1.0' in text
    assert set(threading.enumerate()) <= before | {each for each in threading.enumerate() if "asyncio" in each.name}


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:9400", ("0.0.0.0", 9400)), (":1", ("127.0.0.1", 1)), ("[::1]:65535", ("::1", 65535)), ("h:0", ("h", 0))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "9400", "host", "host:", "host:65536", "host:-1", "host:²", "host:1:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no address"):
        address_of(text)


# --- observers


class Bad(Observer):
    """Raises whenever it is told something."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("asked", "written", "batch", "left", "performing", "overdue", "driving", "closed"):
            return _raises
        return super().__getattribute__(name)


def _raises(*_: Any) -> Any:
    raise ValueError("a bug in the observer")


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """Afterwards, structlog is as if nobody had configured it; what captures its lines leaves it configured."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("unconfigured")
async def test_an_observer_that_raises_stops_nothing_and_is_named(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with capture_logs() as said, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "logger", structlog.get_logger)
        async with world(tmp_path, observers=[Bad(), Metrics(registry)]) as lab:
            assert (await lab.deploy()).state == "Succeeded"
            (await Truth.of(lab)).assert_counted(Scrape(registry))
            await lab.assert_sound()
    assert {entry["observer"] for entry in said if "observer raised" in entry["event"]} == {"Bad"}


async def test_metrics_are_of_one_engine_at_a_time_and_go_on_with_the_next(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    async with world(tmp_path, observers=[metrics]) as lab:
        await lab.deploy()
        with pytest.raises(InvalidRequest, match="another engine's"):
            async with Engine.open(str(tmp_path / "other.db"), observers=[metrics]):
                pass
        before = Scrape(registry)
        assert before.value("interlock_cpu_held_hertz", cluster="c", zone="z") == 1e9
    assert Scrape(registry).series("interlock_cpu_held_hertz") == {}
    assert Scrape(registry).series("interlock_operations_total") == before.series("interlock_operations_total")
    async with world(tmp_path, observers=[metrics]) as lab:
        await lab.run("stop")
        after = Scrape(registry)
    assert after.series("interlock_operations_total") == {("deploy", "Succeeded"): 1, ("stop", "Succeeded"): 1}
    assert after.value("interlock_store_transactions_total") > before.value("interlock_store_transactions_total")


async def test_a_database_that_cannot_be_read_leaves_the_figures_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, observers=[Metrics(registry)]) as lab:
        before = (await fresh(registry)).value("interlock_database_read_timestamp_seconds")
        tried = asyncio.Event()

        async def broken(view: View, query: Any) -> Any:
            tried.set()
            raise StoreError("no")

        with monkeypatch.context() as patch:
            patch.setattr(View, "rows", broken)
            Scrape(registry)
            await asyncio.wait_for(tried.wait(), 10)
            await asyncio.sleep(0)
        # The one before is still shown, by a scrape that asks anew.
        stays: Callable[[], float] = lambda: Scrape(registry).value("interlock_database_read_timestamp_seconds")  # noqa: E731
        assert stays() >= before > 0
        assert (await fresh(registry)).value("interlock_database_read_timestamp_seconds") > before
        await lab.deploy()


# --- off


SCRIPT = """
import asyncio, sys
from pathlib import Path
from tests.world import world

async def main():
    async with world(Path({folder!r}) {with_it}) as lab:
        assert (await lab.deploy()).state == "Succeeded"

asyncio.run(main())
print(sorted({{name for name in sys.modules if name.partition(".")[0] in ("prometheus_client", "opentelemetry")
              or name.startswith("interlock.telemetry")}}))
"""


def test_an_engine_without_observers_imports_nothing_of_it(tmp_path: Path) -> None:
    found = _imported(SCRIPT.format(folder=str(tmp_path), with_it=""))
    assert found == "[]"
    on = "\nfrom interlock.telemetry.metrics import Metrics".join(("", SCRIPT))
    (tmp_path / "on").mkdir()
    assert "opentelemetry" not in _imported(on.format(folder=str(tmp_path / "on"), with_it=", observers=[Metrics()]"))


def _imported(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_an_engine_without_observers_makes_nothing_for_them(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        assert lab.engine._store.observer is None
        assert type(lab.engine._orchestrator.drives._performer) is Performer
        await lab.deploy()


# --- what it costs


def test_a_small_run_of_the_benchmark_writes_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "TURN", 4)
    told = ["--turns=1", "--hosts=20", "--rounds=1", f"--folder={tmp_path}", f"--json={tmp_path / 'telemetry.json'}"]
    assert telemetry.main(told) == 0
    result = msgspec.json.decode((tmp_path / "telemetry.json").read_bytes(), type=Result)
    assert [each.name for each in result.figures] == [
        "a deploy, metrics",
        "a deploy, metrics and traces",
        "a scrape, 20 hosts",
    ]
    assert all(each.value.least > 0 for each in result.figures)
    assert [each.met is None for each in result.targets] == [False]
