"""The commands on disks: what they do, what they say to a person and to a program, and what they exit with."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.cli.exits import Exit
from interlock.drivers.simulator import Fault, FaultKind
from tests.command import SMALL, Shell, described
from tests.test_cli import order

OFFERINGS = '\n[[disk_offerings]]\nname = "any"\n'
NEW = ("--offering", "any", "--size", "2048", "--zone", "north")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database with the example's cloud and an offering of disks, and a VM that runs."""
    made = Shell(tmp_path)
    file = described(tmp_path)
    file.write_text(file.read_text() + OFFERINGS)
    made("init", str(file))
    made("deploy", "web", *SMALL, "--zone", "north")
    return made


def test_a_disk_goes_through_its_life_by_commands(shell: Shell) -> None:
    for command, row in (
        (("create-disk", "data", *NEW), ["data", "Allocated", "-", "-", "2048", "MiB"]),
        (("attach-disk", "web", "data"), ["data", "Ready", "web", "north-nfs", "2048", "MiB"]),
        (("resize-disk", "data", "4096"), ["data", "Ready", "web", "north-nfs", "4096", "MiB"]),
        (("resize-disk", "data", "3072", "--shrink"), ["data", "Ready", "web", "north-nfs", "3072", "MiB"]),
        (("detach-disk", "data"), ["data", "Ready", "-", "north-nfs", "3072", "MiB"]),
        (("delete-disk", "data"), ["data", "Expunged", "-", "-", "3072", "MiB"]),
    ):
        assert shell(*command).rows == [row]
    assert [each["name"] for each in shell("disks", "--json").json] == ["ROOT-web"]
    assert [each["name"] for each in shell("disks", "--all", "--json").json] == ["ROOT-web", "data"]


def test_disks_are_listed_by_what_they_are(shell: Shell) -> None:
    shell("create-disk", "data", *NEW)
    head, *rows = shell("disks").rows
    assert head[:6] == ["NAME", "STATE", "SINCE", "SIZE", "VM", "POOL"]
    assert [row[:2] for row in rows] == [["ROOT-web", "Ready"], ["data", "Allocated"]]
    for options, names in (
        (("--free",), ["data"]),
        (("--vm", "web"), ["ROOT-web"]),
        (("--state", "ready"), ["ROOT-web"]),
        (("--pool", "north-nfs"), ["ROOT-web"]),
        (("--zone", "south"), []),
        (("--account", "system"), ["ROOT-web", "data"]),
    ):
        assert [each["name"] for each in shell("disks", *options, "--json").json] == names
    assert "a disk has no state 'odd'" in shell("disks", "--state", "odd", exit=Exit.REFUSED).err


def test_what_is_refused_exits_with_3_and_says_why(shell: Shell) -> None:
    shell("create-disk", "data", *NEW)
    assert "there is nothing to detach" in shell("detach-disk", "data", exit=Exit.REFUSED).err
    assert "say that it is to shrink" in shell("resize-disk", "data", "1024", exit=Exit.REFUSED).err
    said = shell("delete-disk", "data", "nix", "--json", exit=Exit.REFUSED).json
    results = {each["name"]: each for each in said["results"]}
    assert (results["data"]["state"], results["data"]["kind"]) == ("Expunged", "delete-disk")
    assert results["data"]["disk_id"] and results["data"]["vm_id"] is None
    assert results["nix"]["error"]["code"] == "not-found"


def test_a_failed_operation_exits_with_1_and_says_why(shell: Shell, tmp_path: Path) -> None:
    shell("create-disk", "data", *NEW)
    order(tmp_path, Fault(kind=FaultKind.REFUSE_VM, command="PlugVolume"))
    said = shell("attach-disk", "web", "data", exit=Exit.FAILED)
    assert said.rows[0][:2] == ["data", "Allocated"]
    assert "this VM is refused" in said.out
