"""The benchmark of lists, and the databases that it fills: that they run and say what they should. No times."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import filled, lists
from benchmarks.targets import TARGETS
from interlock import DeployVM, Engine
from interlock.drivers.simulator import Simulator
from tests.postgres import Server


@pytest.fixture
def on(dialect: str, request: pytest.FixtureRequest) -> list[str]:
    """How each database is asked for."""
    if dialect == "sqlite":
        return []
    server: Server = request.getfixturevalue("server")
    return [f"--postgresql={server.url('postgres')}"]


def test_a_small_run_of_lists_measures_every_size(
    tmp_path: Path, on: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "lists.json"
    sizes = ["--vms", "70", "200", "--deploys=4", "--pages=1", "--rounds=1"]
    assert lists.main([*sizes, *on, f"--folder={tmp_path}", f"--json={figures}"]) == 0
    measured = {each["name"]: each for each in msgspec.json.decode(figures.read_bytes())["figures"]}
    for work in ("a deploy, alone", "a deploy, in flight", *lists.PAGES):
        assert measured[lists.name_of(work, 70)]["beside"] == []
        assert [each["what"] for each in measured[lists.name_of(work, 200)]["beside"]] == ["with 70 VMs"]
    assert measured[lists.name_of("a deploy, alone", 70)]["unit"] == ("µs" if on else "µs CPU")
    assert measured[lists.name_of("opening an engine: memory of the process", 200)]["value"]["median"] > 10
    assert {path.name for path in tmp_path.iterdir()} == {"lists.json", "lists-sizes.svg"}
    assert "of an account, Stopped, 200 VMs" in capsys.readouterr().out


def test_files_that_are_kept_are_not_a_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        lists.main(["--postgresql", f"--filled={tmp_path}"])
    assert "SQLite's files" in capsys.readouterr().err


def test_every_target_of_lists_is_a_figure_of_theirs() -> None:
    works = ("a deploy, alone", "a deploy, in flight", *lists.PAGES)
    known = {lists.name_of(work, vms) for work in works for vms in (*lists.SIZES, lists.FULL)}
    held = [target for target in TARGETS if target.module == "lists"]
    assert {target.figure for target in held} <= known and len(held) == 14
    assert {target.beside for target in held} == {f"with {lists.SIZES[0]:,} VMs"}


async def test_a_filled_database_goes_on_as_any_other(tmp_path: Path) -> None:
    url = str(tmp_path / "filled.db")
    await filled.fill(url, 130, spare_hosts=1)
    simulator = await Simulator.at(tmp_path / "world")
    async with Engine.open(url, drivers={"simulator": simulator}, listen=False) as engine:
        assert await engine.check() == []
        assert sum((await engine.counts()).values()) == 130
        stopped = (await engine.vms(state="Stopped", limit=1)).vms[0]
        await (await engine.destroy(stopped.id)).wait()
        await (await engine.deploy(DeployVM(name="new", offering="small", template="debian"))).wait()
        assert await engine.check() == []
    await simulator.close()
