"""`interlock reconcile`, and what the other commands tell of what happened behind our back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from interlock.cli.exits import Exit
from interlock.drivers.simulator import Simulator
from tests.command import SMALL, Shell

Act = Callable[[Simulator], Awaitable[None]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a database with two VMs that run."""
    made = Shell(tmp_path)
    made.init()
    made("deploy", "web", *SMALL, "--count", "2", "--zone", "north")
    return made


def outside(shell: Shell, act: Act) -> None:
    """Something happens while no command runs."""

    async def happen() -> None:
        async with await Simulator.at(shell.folder / "interlock.simulator") as simulator:
            await act(simulator)

    asyncio.run(happen())


def ids(shell: Shell) -> dict[str, str]:
    """The VMs' ids by name."""
    return {vm["name"]: vm["id"] for vm in shell("ps", "--json").json}


def test_what_differs_is_followed_and_told(shell: Shell) -> None:
    web = ids(shell)["web-1"]
    outside(shell, lambda simulator: simulator.crash(web))
    assert shell.states() == {"web-1": "Running", "web-2": "Running"}, "looking changes nothing"
    [row] = shell("reconcile").rows
    assert row[:2] == ["web-1", "Stopped"]
    assert shell("reconcile").out == "nothing differs\n"
    said = shell("history", "web-1").out
    assert "because: crashed (host" in said
    assert "found off (crashed)" in said


def test_one_host_or_one_vm(shell: Shell) -> None:
    found = ids(shell)
    outside(shell, lambda simulator: simulator.crash(found["web-1"]))
    outside(shell, lambda simulator: simulator.crash(found["web-2"]))
    hosts = {vm["name"]: vm["host_id"] for vm in shell("ps", "--json").json}
    other = next(f"north-host-{number}" for number in range(1, 4) if f"north-host-{number}" not in hosts.values())
    assert shell("reconcile", other).out == "nothing differs\n"
    assert shell("reconcile", "web-1").rows[0][:2] == ["web-1", "Stopped"]
    assert {result["kind"] for result in shell("reconcile", hosts["web-2"], "--json").json["results"]} == {"follow"}
    assert shell.states() == {"web-1": "Stopped", "web-2": "Stopped"}
    assert "no VM 'nobody'" in shell("reconcile", "nobody", exit=Exit.REFUSED).err


def test_any_command_that_acts_looks(shell: Shell) -> None:
    web = ids(shell)["web-1"]
    outside(shell, lambda simulator: simulator.crash(web))
    shell("deploy", "--count", "0", *SMALL)
    assert shell.states() == {"web-1": "Stopped", "web-2": "Running"}


def test_doctor_lists_guests_that_should_not_be_and_reconcile_evicts_them(shell: Shell) -> None:
    outside(shell, lambda simulator: simulator.appear("stranger", "north-host-3"))
    said = shell("doctor", exit=Exit.FAILED).out
    assert "guest stranger (on) is on host north-host-3: it is no VM of this database" in said
    [finding] = shell("doctor", "--json", exit=Exit.FAILED).json["findings"]
    assert finding["code"] == "stray"
    assert "stranger" in shell("reconcile").err
    shell("settings", "set", "vm.unknown.domain", "end")
    [result] = shell("reconcile", "--json").json["results"]
    assert (result["kind"], result["operation_state"]) == ("evict", "Succeeded")
    assert "nothing found" in shell("doctor").out
