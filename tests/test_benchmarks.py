"""The benchmark: that it runs and says what it should, that its counts hold, and that its floor is a fair one.

Counts, never times: how many commits and executions a deploy costs is the same on every machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from benchmarks import day, deploys, events, floor, journal, planning
from benchmarks.command import Wrong
from benchmarks.figures import Figures, Round
from benchmarks.fleet import KEPT, SCENARIOS, TAG, Fleet
from benchmarks.lab import Lab, lab
from benchmarks.machine import this_machine
from benchmarks.peers import peers
from benchmarks.result import Result
from benchmarks.story import life
from benchmarks.tape import Call, Costs, costs
from benchmarks.targets import judged
from benchmarks.watched import Blind, blind
from interlock import OperationFailed
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.protocol import CloudView, Plan, Shortlist
from interlock.replay.rules import Book
from interlock.testing.fuzz.universe import Setting


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Lab]:
    """An open lab on SQLite with room for 256 VMs."""
    async with lab(tmp_path, hosts=4) as opened:
        yield opened


def small_run(folder: Path, *more: str) -> int:
    return deploys.main(
        [
            "--deploys=20",
            "--in-flight=64",
            "--rounds=1",
            f"--folder={folder}",
            f"--json={folder / 'figures.json'}",
            *more,
        ]
    )


def test_a_small_run_prints_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small_run(tmp_path) == 0
    printed = capsys.readouterr().out
    for figure in (
        "cores",
        "fsync",
        "deploys 20; in flight 64",
        "deploys, 64 in flight, 1/s",
        "same statements, bare sqlite3 loop",
        "rows alone, bare sqlite3 loop",
        "commits per deploy, 64 in flight",
        "SQL executions per deploy",
        "one deploy alone",
        "at most 0.1",
        "at least 0.35",
    ):
        assert figure in printed
    assert "not measured" not in printed


def test_its_figures_are_written_as_json_and_nothing_else_is_left(tmp_path: Path) -> None:
    small_run(tmp_path)
    written = msgspec.json.decode((tmp_path / "figures.json").read_bytes())
    (measured,) = written["detail"]["rounds"]
    assert measured["crowd"]["rate"] == pytest.approx(measured["crowd"]["ratio"] * measured["crowd"]["floor_rate"])
    by_name = {figure["name"]: figure for figure in written["figures"]}
    assert by_name["commits, one deploy alone"]["value"]["median"] == measured["lone"]["commits"]
    same, rows = by_name["deploys, 64 in flight"]["beside"]
    assert [same["ratio"]["median"], rows["ratio"]["median"]] == [
        measured["crowd"]["ratio"],
        measured["crowd"]["rows_ratio"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


async def test_deploys_in_flight_share_their_commits(small: Lab) -> None:
    crowd = await small.deploy(200, 64)
    await small.verify()
    assert crowd.costs.commits / crowd.deploys <= 0.1
    assert crowd.costs.executions / crowd.deploys <= 3


async def test_one_deploy_alone_takes_few_commits_and_executions(small: Lab) -> None:
    await small.deploy(1, 1)
    lone = await small.deploy(5, 1)
    await small.verify()
    assert lone.costs.commits / lone.deploys <= 3
    assert lone.costs.executions / lone.deploys <= 25


async def test_the_tape_misses_nothing_that_the_engine_counts(small: Lab) -> None:
    counters = small.engine.counters
    await small.deploy(1, 1)
    commits, statements = counters.commits, counters.statements
    run = await small.deploy(30, 8)
    # The engine does not count its lease's renewal (one statement, one commit), which a slow machine may see.
    assert run.costs.commits - (counters.commits - commits) in (0, 1)
    assert run.costs.executions - (counters.statements - statements) in (0, 1)


async def test_both_floors_leave_the_rows_that_the_engine_left(small: Lab, tmp_path: Path) -> None:
    run = await small.deploy(30, 8)
    assert run.start is not None and run.end is not None
    for number, tape in enumerate((run.tape, floor.rows_alone(run.tape))):
        played = tmp_path / f"floor-{number}.db"
        assert floor.play(run.start, played, tape) > 0
        assert floor.same_content(played, run.end)
        assert not floor.same_content(played, run.start)


async def test_a_floor_that_did_less_is_told(small: Lab, tmp_path: Path) -> None:
    run = await small.deploy(30, 8)
    assert run.start is not None and run.end is not None
    floor.play(run.start, tmp_path / "floor.db", run.tape[:-1])
    assert not floor.same_content(tmp_path / "floor.db", run.end)


async def test_the_floor_is_as_durable_as_the_engine_and_guarded_like_it(small: Lab) -> None:
    run = await small.deploy(1, 1)
    assert run.start is not None
    names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "page_size", "cache_size")
    triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
    async with small.engine.transaction() as ours:
        asked = [await ours.exec_driver_sql(question) for question in (*(f"PRAGMA {name}" for name in names), triggers)]
        engine = [answer.scalar() for answer in asked]
    with closing(floor.connect(run.start)) as bare:
        assert engine == [*(bare.execute(f"PRAGMA {name}").fetchone()[0] for name in names), engine[-1]]
        assert bare.execute(triggers).fetchone()[0] == engine[-1] > 0


async def test_figures_are_void_when_a_guest_does_not_run(small: Lab) -> None:
    await small.deploy(3, 3)
    await small.verify()
    guest, *_ = (await small.simulator.world()).domains
    await small.simulator.power_off_inside(guest.vm_id)
    with pytest.raises(Wrong, match=r"[23] are Running and 2 guests run"):  # the engine hears of it, at once or soon
        await small.verify()


async def test_a_deploy_that_fails_is_no_figure(tmp_path: Path) -> None:
    async with lab(tmp_path, hosts=1) as tiny:
        with pytest.raises(OperationFailed, match="no place"):
            await tiny.deploy(65, 8)


def test_costs_count_commits_executions_and_rows() -> None:
    write = (
        Call("BEGIN IMMEDIATE"),
        Call("SELECT 1"),
        Call("SAVEPOINT batch"),
        Call("INSERT INTO t VALUES (?)", rows=[(1,), (2,)]),
        Call("COMMIT"),
    )
    looked = (Call("BEGIN"), Call("SELECT 1"), Call("ROLLBACK"))
    alone = (Call("DELETE FROM t"),)
    assert costs([write, looked, alone, (Call("SELECT 1"),)]) == Costs(commits=2, executions=5, statements=6)


def test_what_the_database_refused_is_refused_again(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "start.db")) as database:
        database.execute("CREATE TABLE t (x PRIMARY KEY)")
    twice = Call("INSERT INTO t VALUES (?)", rows=[(1,), (1,)], refused=True)
    floor.play(tmp_path / "start.db", tmp_path / "floor.db", [(Call("BEGIN"), twice, Call("ROLLBACK"))])
    unexpected = Call("INSERT INTO t VALUES (?)", rows=[(1,), (1,)])
    with pytest.raises(sqlite3.IntegrityError):
        floor.play(tmp_path / "start.db", tmp_path / "again.db", [(Call("BEGIN"), unexpected, Call("ROLLBACK"))])


def test_a_missed_target_fails_only_when_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Figures(rate=1, latency_ms=1, slow_ms=1, commits=9, executions=99, ratio=0.1)
    monkeypatch.setattr(deploys, "_round", lambda *_: Round(first=missed, lone=missed, crowd=missed))
    assert small_run(tmp_path) == 0
    assert small_run(tmp_path, "--check") == 1


def test_the_machine_is_described(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.cores >= 1 and machine.ram_gib > 0 and machine.fsync_ms > 0
    assert str(machine.cores) in machine.lines()[0]


# Planning


def small_planning(folder: Path, *more: str) -> int:
    return planning.main(
        ["--hosts=4000", "--decisions=5", "--rounds=1", "--apart=3", f"--json={folder / 'planning.json'}", *more]
    )


def test_a_small_run_of_planning_prints_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_planning(tmp_path) == 0
    printed = capsys.readouterr().out
    for figure in (
        "cores",
        "4,000 hosts",
        "1/CPU s",
        planning.SCAN,
        "choice alone",
        "no host fits",
        *planning.PLANNERS,
    ):
        assert figure in printed
    written = msgspec.json.decode((tmp_path / "planning.json").read_bytes())
    beside_a_scan = [figure for figure in written["figures"] if figure["beside"]]
    assert len(beside_a_scan) == len(SCENARIOS) * len(planning.PLANNERS)
    for figure in beside_a_scan:
        [scan] = figure["beside"]
        assert scan["ratio"]["median"] == pytest.approx(figure["value"]["median"] / scan["value"]["median"])
    by_name = {figure["name"]: figure["value"]["median"] for figure in written["figures"]}
    for name in (f"{planner}, half empty, 4,000 hosts" for planner in planning.PLANNERS):
        assert 0 < by_name[f"one in two: {name}"] <= by_name[f"99 in 100: {name}"]


def test_a_fleet_that_is_too_small_gives_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small_planning(tmp_path, "--hosts=1") == 1
    assert "void: " in capsys.readouterr().err


def test_index_and_scan_that_disagree_give_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(range(1000))
    monkeypatch.setattr(planning, "_decide", lambda *_: planning.Timed(1.0, 1.0, 1.0, [str(next(answers))]))
    assert small_planning(tmp_path) == 1


def test_a_missed_rate_fails_only_when_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planning, "_round", lambda *_: planning.Round(planning.Timed(4_999.0, 1.0, 1.0, []), 1.0))
    assert small_planning(tmp_path, "--hosts=10000") == 0
    printed = capsys.readouterr().out
    assert printed.count("MISSED") == len(SCENARIOS) and printed.count("not measured") == 2  # those of more hosts
    assert small_planning(tmp_path, "--hosts=10000", "--check") == 1


def test_a_fleet_stays_as_full_as_it_was_made() -> None:
    fleet = Fleet(SCENARIOS[0], 64, 0)
    assert isinstance(fleet, CloudView) and isinstance(fleet.shortlist(fleet.demands(1, 0, 0)[0]), Shortlist)
    seen = []
    for demand in fleet.demands(3 * KEPT, 2, 0):
        plan = FirstFit().plan(demand, fleet)
        assert isinstance(plan, Plan) and plan.host_id not in demand.avoid_hosts
        fleet.choose(demand, plan, "first-fit")
        seen.append(sum(fleet.hosts_of(demand.account_id).values()))
    assert seen == [*range(1, KEPT + 1), *[KEPT] * (2 * KEPT)]
    made = Fleet(SCENARIOS[0], 64, 0)
    assert list(fleet.hosts("zone")) != list(made.hosts("zone"))
    fleet.give_back()
    assert list(fleet.hosts("zone")) == list(made.hosts("zone"))


def test_what_choosing_alone_is_measured_with_takes_a_host_that_will_do() -> None:
    fleet = Fleet(SCENARIOS[0], 640, 0)
    free = {host.id: (host.cpu_free_mhz, host.memory_free_mib) for host in fleet.hosts("") if TAG in host.tags}
    for peer in peers(fleet.hosts(""), TAG).values():
        left = dict(free)
        for demand in fleet.demands(300, 9, 0):
            host_id = peer.choose(demand)
            assert host_id is not None and host_id not in demand.avoid_hosts
            peer.count(host_id, demand, 1)
            left[host_id] = left[host_id][0] - demand.cpu_mhz, left[host_id][1] - demand.memory_mib
        assert min(min(figures) for figures in left.values()) >= 0
        assert peer.choose(msgspec.structs.replace(demand, memory_mib=2**40)) is None


# --- the journal's tools


def test_each_tool_of_the_journal_reads_all_of_a_long_one(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    count = journal.written(life(), 2_000, file)
    assert count >= 2_000
    for what in journal.MEASURED:
        cost = journal._measure(what, file)
        assert cost.transitions == count, what
        assert cost.cpu_seconds > 0 and cost.peak_mib > 0


def test_memory_that_grows_and_a_check_that_is_slow_are_missed_targets() -> None:
    def costs(what: str, cpu_seconds: float, growth: float) -> journal.Costs:
        short = journal.Cost(transitions=1, seconds=1.0, cpu_seconds=cpu_seconds, peak_mib=10.0)
        return journal.Costs(what=what, short=short, long=msgspec.structs.replace(short, peak_mib=10.0 * growth))

    def missed(cpu_seconds: float, growth: float) -> int:
        rounds = [costs(what, cpu_seconds if what != journal.FLOOR else 1.0, growth) for what in journal.MEASURED]
        verdicts = judged("journal", journal.figures([rounds]))
        assert len(verdicts) == 5 and all(each.met is not None for each in verdicts)
        return sum(each.met is False for each in verdicts)

    assert missed(3.0, 1.25) == 0
    assert missed(3.1, 1.25) == 1
    assert missed(3.0, 1.35) == 4


# --- a day


def test_a_small_day_is_decided_again_and_played_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "day.json"
    assert day.main(["--deploys=40", "--rounds=2", f"--folder={tmp_path}", f"--json={file}"]) == 0
    result = msgspec.json.decode(file.read_bytes(), type=Result)
    counts = {each.name: each.value.median for each in result.figures}
    assert counts["VMs elsewhere without a change"] == 0
    assert counts["VMs elsewhere under another planner"] > 5
    assert [each.rounds for each in result.figures[:4]] == [2] * 4
    assert [each.name for each in tmp_path.iterdir()] == ["day.json"]


def test_a_day_that_is_decided_otherwise_now_gives_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine records under its own planner; what decides again is another one of the same name."""
    monkeypatch.setattr(day, "Book", lambda planners, gurus: Book({**planners, "first-fit": Dispersing()}, gurus))
    assert day.main(["--deploys=20", "--rounds=1", f"--folder={tmp_path}", f"--json={tmp_path / 'day.json'}"]) == 1
    assert "not all was decided as it was written" in capsys.readouterr().err


def test_a_small_run_of_the_fuzzer_prints_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert events.main(["--events=500", "--rounds=1", "--jobs=1", f"--json={tmp_path / 'events.json'}"]) == 0
    printed = capsys.readouterr().out
    for said in ("events by kind, of 100", "oracle on, one process", events.OFF, events.DECIDED, events.DISPATCHED):
        assert said in printed
    written = msgspec.json.decode((tmp_path / "events.json").read_bytes())
    [measured] = written["detail"]["rounds"]
    assert sum(measured["kinds"].values()) == measured["on"]["events"] >= 500
    assert measured["transitions"] > measured["decisions"] > 0
    assert len({measured[name]["digest"] for name in ("on", "off", "many_on", "many_off")}) == 1


def test_figures_of_the_fuzzer_are_void_when_others_watch_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle that is off and leads to other draws would be compared with what it is not."""
    monkeypatch.setattr(events, "blind", worried)
    with pytest.raises(Wrong, match="has left other journals"):
        events._round(events._read(["--events=400", "--jobs=1"]), "0")


def worried() -> Setting:
    """Some guest is always astray."""
    return msgspec.structs.replace(blind(), oracle=Worried)


class Worried(Blind):
    """Leads to other draws."""

    @property
    def unfollowed(self) -> list[str]:
        """See `Oracle`."""
        return ["nobody"]
