"""`interlock logs`: what it shows to people and to programs, and what it exits with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from interlock.cli.exits import Exit
from interlock.cli.main import cli
from tests.cloudstack_lines import OTHERS, Guest, log4j1, log4j2, vm_new, vm_old
from tests.test_cloudstack_lines import HOSTS

GOLDEN = Path(__file__).parent / "golden"
SAMPLE, STORY = str(GOLDEN / "cloudstack-log-sample.txt"), str(GOLDEN / "cloudstack.log")


def logs(*args: str, exit: int = 0, input: bytes | None = None) -> str:
    """What it writes to standard output."""
    result = CliRunner().invoke(cli, ["logs", *args], input=input)
    assert result.exit_code == exit, (result.exit_code, result.stdout, result.stderr, result.exception)
    assert "Traceback" not in result.stderr
    return result.stdout


def document(*args: str, exit: int = 0) -> Any:
    """The same for programs."""
    return json.loads(logs("--json", *args, exit=exit))


def test_the_sample_is_all_right() -> None:
    said = document(SAMPLE)
    assert said["lines"] == {"all": 7, "understood": 7, "not_understood": 0, "continuation": 0}
    assert said["machines"] == {"cloudstack-vm": {"transition": 7}}
    assert (said["findings"], said["unknown"], said["as_ours"]) == ([], [], 7)


def test_what_is_wrong_has_file_and_line() -> None:
    said = document(STORY, exit=Exit.FAILED)
    wrong = [(each["trouble"], each["line"], each["entity"], each["missing"]) for each in said["findings"]]
    assert wrong == [("impossible", 17, "i-2-40-VM", 0), ("gap", 18, "i-2-41-VM", 1), ("illegal", 19, "i-2-39-VM", 0)]
    assert {each["file"] for each in said["findings"]} == {STORY}
    assert [(each["ours"], each["count"]) for each in said["differences"]] == [("Error", 1)]
    told = logs("--illegal", STORY, exit=Exit.FAILED)
    assert [line.split()[:2] for line in told.splitlines()[1:]] == [
        [f"{STORY}:{line}", what] for what, line, *_ in wrong
    ]


def test_a_sequence_over_two_files_is_one(tmp_path: Path) -> None:
    steps = [("Stopped", "StartRequested", "Starting"), ("Starting", "OperationSucceeded", "Running")]
    lines = [log4j2(vm_new(Guest(), step, HOSTS[1]), number) for number, step in enumerate(steps)]
    (tmp_path / "ms.log").write_text(lines[1] + "\n")
    (tmp_path / "ms.log.1.gz").write_bytes(gzip.compress(lines[0].encode()))
    names = [str(tmp_path / "ms.log"), str(tmp_path / "ms.log.1.gz")]
    assert "2 in 2 files: 2 understood" in logs(*names)
    assert [each["line"] for each in document("--vm", "6", *names)["facts"]] == [1, 1]


@pytest.mark.parametrize("name", ["i-2-6-VM", "6", Guest().uuid])
def test_a_vm_may_be_named_in_any_way(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ms.log"
    new = vm_new(Guest(), ("Starting", "OperationSucceeded", "Running"), HOSTS[1])
    old = [log4j1(OTHERS["job queued"][0]), log4j1(vm_old(("Stopped", "StartRequested", "Starting"), HOSTS[0]), 1)]
    lines = [log4j1(new, 2), log4j1(OTHERS["power report, old"][0], 3)]
    path.write_text("\n".join([*old, *lines] if name != Guest().uuid else lines))
    said = logs("--vm", name, str(path)).splitlines()
    formats = ["vm-transition-old", "vm-transition", "power-report-old"]
    assert [line.split()[2] for line in said if line.startswith("2025")] == formats[-len(said) + 2 :]
    assert said[-1].strip() == "PowerReportMissing"


def test_a_vm_that_no_line_tells_of() -> None:
    logs("--vm", "web", SAMPLE, exit=Exit.REFUSED)
    said = document("--host", "kvm9", SAMPLE, exit=Exit.REFUSED)
    assert said["error"]["code"] == "not-found" and "--entities" in said["error"]["message"]


def test_standard_input_is_read(tmp_path: Path) -> None:
    assert "7 in 1 file: 7 understood" in logs("-", input=Path(SAMPLE).read_bytes())
    assert "0 in 1 file: 0 understood" in logs("-", input=b"")


def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "ms.log.gz"
    path.write_bytes(gzip.compress(Path(STORY).read_bytes() * 50)[:-200])
    said = logs(str(path), exit=Exit.FAILED)
    assert f"damaged    {path} is damaged" in said
    assert document(str(path), exit=Exit.FAILED)["lines"]["understood"] > 15


def test_what_cannot_be_is_refused() -> None:
    logs("/nowhere/ms.log", exit=Exit.REFUSED)
    logs(exit=Exit.USAGE)
    logs("--illegal", "--unknown", SAMPLE, exit=Exit.USAGE)


def test_long_lists_are_cut_in_the_summary_and_whole_by_their_option(tmp_path: Path) -> None:
    path = tmp_path / "ms.log"
    wrong = [log4j2(vm_new(Guest(n), ("Running", "StartRequested", "Starting"), HOSTS[0])) for n in range(1, 26)]
    path.write_text("\n".join([*wrong, *(log4j2(f"{letter} is unknown") for letter in "abcdefghijklmnop")]))
    said = logs(str(path), exit=Exit.FAILED)
    assert "… and 15 more: `interlock logs --illegal FILE...`" in said
    assert "… and 6 more: `interlock logs --unknown FILE...`" in said
    assert len(logs("--illegal", str(path), exit=Exit.FAILED).splitlines()) == 26
    assert len(logs("--unknown", str(path), exit=Exit.FAILED).splitlines()) == 17
    assert len(logs("--entities", str(path), exit=Exit.FAILED).splitlines()) == 26


def test_a_machine_of_cloudstacks_is_drawn() -> None:
    for form, begins in (("mermaid", "stateDiagram-v2"), ("dot", 'digraph "cloudstack-vm"'), ("svg", "<svg")):
        assert begins in CliRunner().invoke(cli, ["machines", "cloudstack-vm", "--format", form]).stdout
    said = json.loads(CliRunner().invoke(cli, ["machines", "cloudstack-vm", "--json"]).stdout)
    assert (said["machine"], said["table_version"], len(said["transitions"])) == ("cloudstack-vm", None, 54)
    assert "cloudstack" not in CliRunner().invoke(cli, ["machines"]).stdout, "only ours, unless it is named"


def test_a_timeline_shows_vms_hosts_and_the_fleet(tmp_path: Path) -> None:
    vm = logs("--vm", "i-2-41-VM", "--timeline", STORY, exit=Exit.FAILED)
    assert "vm i-2-41-VM" in vm and "Running" in vm and "12:02:20" in vm, "it ends with the log"
    host = logs("--host", "kvm3", "--timeline", STORY)
    assert "cloudstack-host kvm3" in host and "Alert" in host and "cloudstack-ha kvm3" in host
    fleet = logs("--timeline", STORY, exit=Exit.FAILED)
    assert [line.split()[-1] for line in fleet.splitlines() if line.startswith(("Stopped", "Expunging"))] == ["2", "1"]
    for args in (["--vm", "i-2-41-VM"], []):
        path = tmp_path / "picture.svg"
        assert logs(*args, "--timeline", "-o", str(path), STORY, exit=Exit.FAILED) == ""
        assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")
        path.unlink()


def test_a_timeline_of_nothing_is_refused(tmp_path: Path) -> None:
    report = tmp_path / "ms.log"
    report.write_text(log4j1(OTHERS["power report, old"][0]))
    assert "power-report-old" in logs("--vm", "6", str(report))
    logs("--vm", "6", "--timeline", str(report), exit=Exit.REFUSED)
    logs("--timeline", str(report), exit=Exit.REFUSED)
    logs("--vm", "7", "--timeline", str(report), exit=Exit.REFUSED)
    logs("--timeline", "--illegal", STORY, exit=Exit.USAGE)
    logs("-o", "x.svg", STORY, exit=Exit.USAGE)
