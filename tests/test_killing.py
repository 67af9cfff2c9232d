"""Crash rounds in the suite: a few of each kind, with fixed seeds; `python -m tests.killing` plays any number.

And the verdict's own tests: of a round in which nothing went wrong, one thing is made wrong, and must be named.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock.drivers.simulator import Simulator, World
from tests.killing import rounds
from tests.killing.__main__ import main
from tests.killing.diary import Kind, Mark, Stage
from tests.killing.grounds import Ground, Place, PostgresqlGround, SqliteGround, postgresql_ground
from tests.killing.plan import plan
from tests.killing.process import Death, stop
from tests.killing.report import ENOUGH, lines, unspread
from tests.killing.rounds import Result
from tests.killing.verdict import aftermath, trespasses, wrongs
from tests.postgres import NotInstalled, absent


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SqliteGround:
    """SQLite."""
    return SqliteGround(tmp_path_factory.mktemp("killing"))


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlGround]:
    """A PostgreSQL of our own: it is struck."""
    try:
        with postgresql_ground(tmp_path_factory.mktemp("killing")) as ground:
            yield ground
    except NotInstalled as reason:
        absent(str(reason))


def plays(play: Callable[..., Result], ground: Ground, seed: int) -> Result:
    """A round in which nothing goes wrong."""
    result = play(ground, plan(seed))
    assert result.wrongs == []
    return result


@pytest.mark.parametrize("seed", [0, 2, 5])  # one of them begins without a database
def test_a_process_that_is_killed_loses_nothing(files: SqliteGround, seed: int) -> None:
    result = plays(rounds.alone, files, seed)
    assert len(result.deaths) == len(plan(seed).deaths)


def test_of_two_processes_on_one_file_one_is_killed(files: SqliteGround) -> None:
    assert len(plays(rounds.pair, files, 3).deaths) == 1


def test_a_process_that_is_killed_loses_nothing_on_postgresql(databases: PostgresqlGround) -> None:
    assert plays(rounds.alone, databases, 1).taken_over


def test_of_two_processes_one_is_killed_and_one_is_paused_past_its_lease(databases: PostgresqlGround) -> None:
    result = plays(rounds.pair, databases, 8)
    assert (len(result.deaths), len(result.pauses)) == (1, 1)
    assert result.taken_over


def test_a_server_that_dies_under_load_is_ridden_out(databases: PostgresqlGround) -> None:
    assert plays(rounds.outage, databases, 3).accepted


# A pause

WRITES = """
import os, sys, threading, time
def write(file):
    while True:
        os.pwrite(file, time.monotonic_ns().to_bytes(8), 0)
for _ in range(4):
    threading.Thread(target=write, args=(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT),)).start()
"""


def test_a_process_that_was_stopped_does_nothing_more(tmp_path: Path) -> None:
    file = tmp_path / "written"
    with subprocess.Popen([sys.executable, "-c", WRITES, file]) as process:
        while not file.exists() or not file.read_bytes():
            time.sleep(0.01)
        try:
            for _ in range(200):
                stop(process.pid)
                written = file.read_bytes()
                time.sleep(0.001)
                assert file.read_bytes() == written
                process.send_signal(signal.SIGCONT)
                time.sleep(0.001)
        finally:
            process.kill()


# The plans


def test_the_moments_are_spread_over_the_whole_life_of_a_process() -> None:
    moments = [moment for seed in range(200) for moment in plan(seed).deaths]
    stages = Counter(moment.stage for moment in moments)
    expected = {Stage.MAKING, Stage.OPENING, Stage.ASKING, Stage.WORKING, Stage.RECOVERING, Stage.CLOSING}
    assert stages.keys() == expected
    assert min(stages.values()) >= 5
    assert plan(7) == plan(7) != plan(8)


def test_rounds_that_were_not_spread_are_found_out() -> None:
    everywhere = [
        Death(stage, committing, effects, 0)
        for stage in ("opening", "asking", "working", "recovering", "closing")
        for committing in (False, True)
        for effects in (0, 1)
    ]
    many = [_result(everywhere) for _ in range(ENOUGH)]
    assert unspread(many) == []
    one_sided = [_result([Death("working", True, 1, 30)]) for _ in range(ENOUGH)]
    assert "no process died recovering" in unspread(one_sided)
    assert "no process died with effects in the air" in unspread(one_sided)
    assert unspread(one_sided[1:]) == []
    assert any("30 to 30, median 30" in line for line in lines(one_sided, "sqlite"))


def _result(deaths: list[Death]) -> Result:
    return Result(
        seed=0, kind="alone", wrongs=[], deaths=deaths, pauses=[], operations=Counter(), states=Counter(running=1)
    )


def test_the_command_prints_a_table_and_how_to_repeat_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.killing.__main__.KINDS", {"alone": _fails})
    said = CliRunner().invoke(main, ["--rounds", "1", "--seed", "41"])
    assert said.exit_code == 1
    assert "FAILED: python -m tests.killing --rounds 1 --seed 41 --database sqlite --kind alone" in said.output
    assert "a guest was lost" in said.output
    assert "failed               1" in said.output


def _fails(ground: Ground, this: object) -> Result:
    result = _result([])
    result.seed, result.wrongs = 41, ["a guest was lost"]
    return result


# The verdict


@pytest.fixture
def place(files: SqliteGround) -> Iterator[Place]:
    """The fleet, as it is before a round."""
    place = files.place("verdict", fresh=False)
    yield place
    files.leave(place, failed=False)


def test_of_the_fleet_nothing_is_wrong(place: Place) -> None:
    assert _wrong(place) == ""


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM domain WHERE vm = (SELECT min(vm) FROM domain)", "guests that are not there"),
        ("UPDATE domain SET power = 'Off' WHERE vm = (SELECT min(vm) FROM domain)", "guests that no record knows"),
        ("DELETE FROM nic WHERE id = (SELECT min(id) FROM nic)", "NICs that are not there"),
        ("DELETE FROM volume WHERE id = (SELECT min(id) FROM volume)", "disks: "),
        ("DELETE FROM plugged_nic WHERE nic = (SELECT min(nic) FROM plugged_nic)", "plugged NICs that are not there"),
    ],
)
def test_a_world_that_is_not_as_recorded_is_found(place: Place, sql: str, words: str) -> None:
    _run(place.world, sql)
    assert words in _wrong(place)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE host SET cpu_used_mhz = cpu_used_mhz + 1 WHERE id = 'h-1'", "h-1 has 8000 MHz, counts"),
        ("DELETE FROM journal WHERE seq = 100", "the journal is broken: row 101 comes after row 99"),
        ("UPDATE journal SET destination = 'Nowhere' WHERE seq = 100", "the journal is broken: row 100"),
        ("UPDATE vm SET tags = '{\"a\": \"b\"}' WHERE name = 'vm-1'", "the table vm is not what the journal tells"),
        ("UPDATE vm SET rules_told = 0 WHERE name = 'vm-1'", "the host of VM vm-1 was not told"),
        ("UPDATE vm SET state = 'Starting' WHERE name = 'vm-1'", "is Starting in the end"),
        ("DELETE FROM operation WHERE kind = 'stop'", "the table operation is not what the journal tells"),
    ],
)
def test_a_database_that_was_tampered_with_is_found(place: Place, sql: str, words: str) -> None:
    """Past the guards, which would not let it be."""
    database = place.folder / "interlock.db"
    for name in _triggers(database):
        _run(database, f"DROP TRIGGER {name}")
    _run(database, sql)
    assert words in _wrong(place)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ([Mark(Kind.ACKED, "nobody", "stop web")], "was told that stop web is durable; it is not there"),
        ([Mark(Kind.FINDING, "ledger", "h-1")], "finding: ledger h-1"),
        ([Mark(Kind.BROKEN, "", "Traceback")], "broken:  Traceback"),
        ([Mark(Kind.STUCK, "some", "stop: its undo was refused: no")], "no fault on order explains it"),
    ],
)
def test_what_processes_tell_is_held_against_the_records(place: Place, marks: list[Mark], words: str) -> None:
    assert words in _wrong(place, marks)


def test_an_operation_that_nobody_asked_for_is_found(place: Place) -> None:
    database = place.folder / "interlock.db"
    for name in _triggers(database):
        _run(database, f"DROP TRIGGER {name}")
    _run(database, "UPDATE operation SET actor = 'a' WHERE kind = 'deploy' AND request LIKE '%\"vm-1\"%'")
    assert "deploy vm-1: 1 operations of 0 requests" in _wrong(place)
    asked = [Mark(Kind.ASKED, "deploy vm-1"), Mark(Kind.REFUSED, "deploy vm-1", "no")]
    assert "deploy vm-1: 1 operations of 1 requests, 1 of which were refused" in _wrong(place, asked)
    assert "deploy vm-1" not in _wrong(place, asked[:1])


def test_one_that_writes_after_it_lost_its_operation_is_found(place: Place) -> None:
    after = asyncio.run(aftermath(place))
    row = next(row for row in after.journal if row.machine == "operation" and row.event == "OperationSucceeded")
    claim = next(each for each in after.journal if each.entity_id == row.entity_id and each.event == "Claimed")
    worker = next(each.changed["worker_id"] for each in after.journal if each.entity_id == row.entity_id)
    wrote = Mark(Kind.COMMITTED, rows=((row.seq, row.seq),))
    assert claim.seq < row.seq
    assert trespasses(after, [[Mark(Kind.WORKER, worker), wrote]]) == []
    [found] = trespasses(after, [[Mark(Kind.WORKER, "another"), wrote]])
    assert "their writer had lost it" in found


def _wrong(place: Place, *told: list[Mark]) -> str:
    return "\n".join(wrongs(asyncio.run(aftermath(place)), told))


def _run(file: Path, sql: str) -> None:
    with sqlite3.connect(file) as database:
        assert database.execute(sql).rowcount != 0
    database.close()


def _triggers(file: Path) -> list[str]:
    with sqlite3.connect(file) as database:
        found = [str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    database.close()
    return found


def test_the_world_is_read_as_it_is(place: Place) -> None:
    async def world() -> World:
        async with await Simulator.at(place.world) as simulator:
            return await simulator.world()

    assert len(asyncio.run(world()).domains) == 30
