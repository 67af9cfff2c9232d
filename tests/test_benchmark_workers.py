"""The benchmark of workers: that it runs and says what it should, and that its floor does the engine's work."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import lone, tape_postgresql, workers
from benchmarks.command import Wrong
from benchmarks.result import Result
from tests.postgres import Server

SMALLEST = [
    "--deploys=16",
    "--in-flight=8",
    "--rounds=1",
    "--crews=1",
    "--each=3",
    "--latency=1",
    "--busy=0",
    "--operations=12",
    "--workers=1",
]


def test_the_smallest_run_prints_and_writes_its_figures(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "workers.json"
    code = workers.main([*SMALLEST, f"--url={server.url('postgres')}", f"--folder={tmp_path}", f"--json={file}"])
    assert code == 0, capsys.readouterr().err
    result = msgspec.json.decode(file.read_bytes(), type=Result)
    names = [each.name for each in result.figures]
    assert "deploys of one engine, 8 in flight" in names
    assert "deploys, 1 worker, effects of 1 ms" in names
    assert "operations, 1 workers: 12 verified, none lost, done twice or stuck" in names
    assert [curve.name for curve in result.curves] == ["scaling"]
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == []


async def test_a_floor_that_did_less_than_the_engine_gives_no_figures(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = tape_postgresql.play
    monkeypatch.setattr(lone, "play", lambda url, batches, begin: play(url, batches[:-1], begin))
    with pytest.raises(Wrong, match="other work"):
        await lone.alone(server.url("postgres"), tmp_path, 8, 4)
