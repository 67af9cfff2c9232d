"""The benchmarks of what a process holds, and of starting and going on: that they run and say what they should.

Counts and leaks, never times. The soak here is the regression test for what grows: whatever an operation leaves behind
in memory, of whatever type, is found by it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from benchmarks import restart, soak, startup
from benchmarks.command import Wrong
from benchmarks.lives import END, LIFE, Led, Lives, cloud
from benchmarks.readings import Reading, held, quiet, read, tables
from benchmarks.restarted import DATABASE, Ended
from benchmarks.result import Result
from benchmarks.soak import CONSTANT, READERS, Soaked, changes
from benchmarks.targets import judged
from interlock import Engine
from interlock.drivers.simulator import Simulator

WHOLE = len(LIFE) + len(END)
PEOPLE = 24
LEFT = 1.0
"""Objects of Python, whoever's, that an operation may leave behind on average; their number goes up and down by some
hundred by itself."""
PASSING = ("Task", "TimerHandle")
"""What the engine may hold more or less of at rest: its lease is renewed now and then."""


def result(file: Path) -> Result:
    """What a module wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Result)


async def test_thousands_of_operations_leave_nothing_behind(tmp_path: Path) -> None:
    simulator = await Simulator.at(tmp_path / "world.simulator")
    async with Engine.open(str(tmp_path / "soak.db"), drivers={"simulator": simulator}) as engine:
        await engine.load(cloud(PEOPLE))
        await asyncio.gather(*(engine.counts() for _ in range(READERS)))

        async def rest() -> tuple[Reading, dict[str, int]]:
            """With nobody alive and nothing under way; the connections have forgotten what they did last."""
            await engine.idle()
            await engine._orchestrator.commits.reload()
            await asyncio.gather(*(engine.counts() for _ in range(READERS)))
            await quiet()  # figures that were read again have it look for what others left
            found = read(lives.led.operations, lives.led.alive, 0.0, tmp_path / "soak.db", tmp_path / "world.simulator")
            return found, {name: count for name, count in held(engine, simulator).items() if name not in PASSING}

        lives = Lives(engine, in_flight=PEOPLE, population=PEOPLE, grow=False)
        await lives.whole(2)
        before, held_before = await rest()
        await lives.whole(4)
        after, held_after = await rest()
        assert await engine.check() == []
    await simulator.close()
    done = after.operations - before.operations
    assert before.vms == after.vms == 0 and done == 4 * PEOPLE * WHOLE > 1000
    assert {name: getattr(after, name) for name in CONSTANT} == {name: getattr(before, name) for name in CONSTANT}
    assert held_after == held_before
    assert of_ours(after) == of_ours(before)
    assert after.blocks - before.blocks < LEFT * done


def of_ours(reading: Reading) -> dict[str, int]:
    """Living objects of the project's own types, whoever holds them."""
    return {name: count for name, count in reading.objects.items() if name.startswith("interlock.")}


async def test_what_is_left_behind_is_seen(tmp_path: Path) -> None:
    """In a container of ours, or of anybody's; of our types, or of any."""
    lives, hoard = Lives.__new__(Lives), list[object]()
    lives._people = []
    before, held_before = read(0, 0, 0.0, tmp_path, tmp_path), held(lives)
    hoard += [f"operation {number}" for number in range(2000)]
    lives._done = Counter({"operation 1": 1})
    between, held_between = read(1000, 0, 0.0, tmp_path, tmp_path), held(lives)
    hoard += [Lives.__new__(Lives) for _ in range(10)]
    after = read(2000, 0, 0.0, tmp_path, tmp_path)
    assert between.blocks - before.blocks >= LEFT * 1000
    assert held_between["str"] > held_before.get("str", 0)
    assert after.objects["benchmarks.lives.Lives"] - between.objects["benchmarks.lives.Lives"] == 10


@pytest.mark.parametrize("grow", [False, True])
def test_a_small_soak_prints_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], grow: bool
) -> None:
    written = tmp_path / "out" / "soak.json"
    size = ["--operations=400", "--warm=200", "--sample=100", "--in-flight=8", "--population=10"]
    more = [f"--folder={tmp_path / 'disk'}", f"--json={written}", *(["--grow"] if grow else [])]
    assert soak.main([*size, *more]) == 0
    told = result(written)
    assert [point.x for point in told.curves[0].lines[0].points] == [100, 200, 300, 400]
    figures = {each.name.partition(", of a row")[0] for each in told.figures}
    assert {soak.MEMORY, *map(changes, CONSTANT), "journal", "operation", "simulator's token"} <= figures
    printed = capsys.readouterr().out
    assert soak.MEMORY in printed and "processor time of an operation" in printed
    alive, ever = (told.settings[name] for name in ("VMs alive at the end", "VMs, in all"))
    assert (alive == ever) is grow and isinstance(alive, int) and (alive <= 10 or grow)
    assert list((tmp_path / "disk").iterdir()) == []


def reading(operations: int, rss_mib: float, files: int = 9) -> Reading:
    """One with these, and nothing else of interest."""
    return Reading(
        operations=operations,
        vms=1,
        cpu_seconds=1.0,
        seconds=1.0,
        rss_mib=rss_mib,
        files=files,
        threads=3,
        tasks=1,
        timers=0,
        blocks=1000,
        objects={},
        database_mib=1.0,
        wal_mib=1.0,
        simulator_mib=1.0,
    )


@pytest.mark.parametrize(
    ("curve", "missed"),
    [
        ([(0, 50, 1), (10, 100, 9), (20, 104, 9), (30, 90, 9)], set()),
        ([(0, 50, 1), (10, 100, 9), (20, 106, 9), (30, 100, 9)], {soak.MEMORY}),
        ([(0, 50, 1), (10, 100, 9), (20, 100, 10), (30, 100, 9)], {changes("files")}),
    ],
)
def test_what_grows_after_the_warm_up_misses_its_target(curve: list[tuple[int, int, int]], missed: set[str]) -> None:
    led = Led(operations=30, by_kind={}, begun=1, alive=1)
    soaked = Soaked(led=led, curve=[reading(*each) for each in curve], tables={}, simulated={})
    verdicts = judged("soak", soak.figures(soaked, 10))
    assert {each.figure for each in verdicts if not each.met} == missed
    assert len(verdicts) == 4


def test_tables_are_measured_with_their_indexes(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "some.db") as database:
        database.execute("CREATE TABLE t (a, b)")
        database.execute("CREATE INDEX i ON t (a)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(number, "x" * 100) for number in range(1000)])
    database.close()
    found = tables(tmp_path / "some.db")["t"]
    assert found.rows == 1000
    assert found.row_bytes > 100_000 > found.index_bytes > 0
    assert found.row_bytes + found.index_bytes < (tmp_path / "some.db").stat().st_size


# Killed


def test_a_small_restart_prints_and_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "out" / "restart.json"
    assert restart.main(["--deploys=60", "--rounds=1", f"--folder={tmp_path / 'disk'}", f"--json={written}"]) == 0
    (both,) = result(written).detail
    assert [each.met is None for each in result(written).targets] == [False]
    ended = msgspec.convert(both["restarted"], Ended)
    assert ended.opened <= ended.first <= ended.last
    assert restart.LAST in capsys.readouterr().out
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_kill_that_did_not_find_all_in_flight_gives_no_figures(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("CREATE TABLE operation (state)")
        database.executemany("INSERT INTO operation VALUES (?)", [("Running",), ("Running",), ("Succeeded",)])
    database.close()
    with pytest.raises(Wrong, match="'Succeeded': 1"):
        restart._all_in_flight(tmp_path / DATABASE, 3)


# Starting


def test_a_small_run_of_startup_prints_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "startup.json"
    assert startup.main(["--rounds=1", f"--folder={tmp_path / 'disk'}", f"--json={written}"]) == 0
    figures = {each.name: each for each in result(written).figures}
    assert {startup.HELP, startup.IMPORT, startup.OPENED, startup.MEMORY} <= figures.keys()
    assert [each.met is None for each in result(written).targets] == [False] * 4
    printed = capsys.readouterr().out
    assert startup.MEMORY in printed and startup.LIBRARIES in printed
