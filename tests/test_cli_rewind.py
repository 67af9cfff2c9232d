"""rewind, diff and bisect as commands: what they say of the past is what others said when it was present."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest

from interlock.cli import moments
from interlock.cli.exits import Exit
from interlock.cli.moments import MOMENT, TIME, moment_of
from interlock.cli.times import iso
from interlock.replay.rewind import Moment
from tests.command import LARGE, SMALL, Shell

AT = 1_795_435_658_717_713
MINE = """
def one_host(fleet):
    return len({vm.host_id for vm in fleet.records("vm").values() if vm.state == "Running"}) <= 1
"""


class Past:
    """What other commands said after each of some steps, and the moments at which they did."""

    def __init__(self, folder: Path) -> None:
        self.shell = Shell(folder)
        self.shell.init()
        self.said: list[dict[str, Any]] = []
        for args in (
            ("deploy", "web", *SMALL, "--zone", "north"),
            ("deploy", "big", *LARGE, "--zone", "south"),
            ("stop", "web"),
            ("destroy", "web"),
        ):
            self.shell(*args)
            self.said.append(self._present())

    def _present(self) -> dict[str, Any]:
        found = {name: self.shell(*name.split(), "--json").json for name in ("ps --all", "hosts", "accounts")}
        transitions = self.shell("history", "web", "--json").json["transitions"]
        return {
            **found,
            "time": time.time_ns() // 1000,
            "show": self.shell("show", "web", "--json").json,
            "own": transitions[-1]["seq"],
        }


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """A short history."""
    return Past(tmp_path_factory.mktemp("past"))


def test_the_fleet_at_a_time_is_what_the_commands_said_then(past: Past) -> None:
    for said in past.said:
        fleet = past.shell("rewind", "--at", str(said["time"]), "--json").json
        listed = {vm["id"]: {key: value for key, value in vm.items() if key != "nics"} for vm in said["ps --all"]}
        assert {vm["id"]: vm for vm in fleet["records"]["vm"]} == listed
        assert fleet["places"]["host"] == said["hosts"]["hosts"]
        assert fleet["places"]["storage_pool"] == said["hosts"]["pools"]
        assert fleet["places"]["account"] == said["accounts"]["accounts"]
        assert fleet["places"]["domain"] == said["accounts"]["domains"]
    assert len({json.dumps(said["hosts"]) for said in past.said}) > 2


def test_a_vm_at_a_number_is_what_show_said_then(past: Past) -> None:
    for said in past.said:
        for args in (("--at", str(said["time"])), ("--seq", str(said["own"]))):
            assert past.shell("rewind", "web", *args, "--json").json["vm"] == said["show"]
    assert len({said["show"]["state"] for said in past.said}) == 3


def test_people_are_told_as_of_the_moment(past: Past) -> None:
    said = past.said[0]
    told = past.shell("rewind", "web", "--at", str(said["time"])).out
    assert re.match(rf"at transition {said['own']}, \d{{4}}-", told)
    age = (said["time"] - said["show"]["since"]) // 1_000_000
    assert said["show"]["host_id"] in told and re.search(rf"^web +Running  for {age}s$", told, re.MULTILINE)
    fleet = past.shell("rewind", "--at", "now", "--vms")
    assert ["vm", "Running", "1"] in fleet.rows and ["vm", "Destroyed", "1"] in fleet.rows
    [web] = [row for row in fleet.rows if row[:1] == ["web"]]
    assert web[1] == "Destroyed"
    [host] = [row for row in fleet.rows if row and row[0] == said["show"]["host_id"]]
    assert "0/8192" in host
    assert not [row for row in past.shell("rewind", "--at", "now").rows if row[:1] == ["web"]]
    assert past.shell("rewind", "--seq", "0").rows[0][:3] == ["at", "the", "beginning,"]


def test_diff_tells_what_was_made_moved_and_changed_and_how_full_hosts_became(past: Past) -> None:
    first, second, third, _ = (str(said["own"]) for said in past.said)
    host = past.said[0]["show"]["host_id"]
    said = past.shell("diff", "0", first)
    assert ["vm", "web", "-", "Running", "3"] in said.rows
    assert ["host", host, "cpu", "0", "500", "8000", "0%", "→", "6%"] in said.rows
    said = past.shell("diff", second, third, "web")
    assert ["vm", "web", "Running", "Stopped", "2"] in said.rows and [
        "nic",
        "web",
        "0",
        "Reserved",
        "Allocated",
        "2",
    ] in said.rows
    assert ["host_id:", host, "→", "-"] in said.rows
    assert ["host", host, "memory", "1024", "0", "8192", "12%", "→", "0%"] in said.rows
    assert "big" not in said.out and "south" not in said.out
    assert "big" in past.shell("diff", first, "now").out
    assert past.shell("diff", "now", "now").rows[-1] == ["nothing", "differs"]


def test_diff_for_programs(past: Past) -> None:
    first, third = past.said[0], past.said[2]
    found = past.shell("diff", str(first["time"]), str(third["time"]), "--json").json
    assert found["from"]["seq"] == first["own"] < found["to"]["seq"]
    assert {each["after"]["name"] for each in found["made"] if each["machine"] == "vm"} == {"big"}
    [web] = [each for each in found["moved"] if each["machine"] == "vm"]
    assert (web["before"]["state"], web["after"]["state"]) == ("Running", "Stopped")
    assert web["attributes"]["host_id"] == [first["show"]["host_id"], None]
    filled = {each["after"]["id"]: each for each in found["places"] if each["kind"] == "host"}
    assert filled[first["show"]["host_id"]]["attributes"]["cpu_used_mhz"] == [500, 0]


def test_bisect_tells_who_broke_it_and_what_changed(past: Past) -> None:
    said = past.shell("bisect", "vm web is Running", exit=Exit.FAILED)
    facts = {row[0]: row[1:] for row in said.rows}
    stop = past.said[2]["show"]["operations"][-1]
    assert said.rows[0][:3] == ["broken", "by", "transition"]
    assert facts["vm"] == ["web:", "Running", "→", "Stopping", "by", "StopRequested"]
    assert facts["operation"] == ["stop", "web", f"({stop['id']})"] and facts["asked"][1] == stop["actor"]
    assert " ".join(facts["now"]) == "vm web is Stopping"
    found = past.shell("bisect", "vm web is Running", "--json", exit=Exit.FAILED).json["broken"]
    assert found["transition"]["seq"] == int(said.rows[0][3].strip(","))
    assert (found["before"]["state"], found["after"]["state"]) == ("Running", "Stopping")
    diff = past.shell(*re.search(r"`interlock (diff \d+ \d+)`", said.out)[1].split())  # type: ignore[index]
    assert ["vm", "web", "Running", "Stopping", "1"] in diff.rows


def test_bisect_tells_what_a_transition_took(past: Past) -> None:
    host = past.said[0]["show"]["host_id"]
    said = past.shell("bisect", f"host {host} memory <= 10%", exit=Exit.FAILED).out
    assert f"host {host} memory is 12.5%" in said and f"takes       1024 memory of {host}\n" in said
    assert f"changed     host_id: - → {host}\n" in said
    back = past.shell("bisect", f"host {host} memory > 0", exit=Exit.FAILED).out
    assert f"gives back  1024 memory of {host}\n" in back


def test_bisect_of_what_held_and_of_what_never_did(past: Past) -> None:
    assert past.shell("bisect", "count operation Stuck = 0").rows[0][:5] == ["it", "held", "from", "the", "beginning"]
    assert past.shell("bisect", "count vm >= 2").out.startswith("it held from transition ")
    assert "it never held" in past.shell("bisect", "vm nix is Running", exit=Exit.REFUSED).out
    assert past.shell("bisect", "count vm >= 2", "--json").json["broken"] is None
    later = str(past.said[2]["own"])
    assert "never held" in past.shell("bisect", "vm web is Running", "--from", later, exit=Exit.REFUSED).out


def test_bisect_asks_a_function_from_the_working_directory(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_predicates.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    said = past.shell("bisect", "--run", "my_predicates:one_host", exit=Exit.FAILED).out
    assert "big: Starting → Running" in said and "my_predicates:one_host gave False" in said


@pytest.mark.parametrize(
    ("args", "exit", "message"),
    [
        (("rewind",), Exit.USAGE, "say which moment: --at TIME or --seq N"),
        (("rewind", "--at", "now", "--seq", "1"), Exit.USAGE, "say which moment"),
        (("rewind", "--at", "yesterday"), Exit.USAGE, "'yesterday' is not a time like"),
        (("rewind", "--at", "57"), Exit.USAGE, "'57' is not a time like"),
        (("rewind", "--seq", "100000"), Exit.REFUSED, "there is no transition 100000; the journal ends with"),
        (("rewind", "nix", "--at", "now"), Exit.REFUSED, "there is no VM 'nix'"),
        (("rewind", "web", "--seq", "0"), Exit.REFUSED, "after transition 0 there is no VM 'web'"),
        (("diff", "9", "3"), Exit.REFUSED, "name the earlier moment first"),
        (("diff", "now", "2020-01-01"), Exit.REFUSED, "name the earlier moment first"),
        (("diff", "1", "blue"), Exit.USAGE, "'blue' is not a number of the journal"),
        (("bisect",), Exit.USAGE, "say what should hold"),
        (("bisect", "vm web is Fine"), Exit.USAGE, "a vm has no state 'Fine'"),
        (("bisect", "--run", "nowhere:at"), Exit.USAGE, "No module named 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_said(past: Past, args: tuple[str, ...], exit: Exit, message: str) -> None:
    assert message in past.shell(*args, exit=exit).err


def test_a_broken_journal_is_no_past(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.init()
    shell("deploy", "web", *SMALL)
    with sqlite3.connect(shell.env["INTERLOCK_DB"]) as database:
        names = [
            name
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='journal'"
            )
        ]
        for name in names:
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE journal SET actor = 'other' WHERE seq = 5")
    database.close()
    assert shell("rewind", "--seq", "4", "--json").json["seq"] == 4
    said = shell("rewind", "--at", "now", exit=Exit.STORE)
    assert "the journal cannot be played: row 5," in said.err and "it was edited" in said.err


# --- moments


def _local(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone().timestamp()) * 1_000_000


def test_times_as_they_are_shown_are_read_again() -> None:
    assert moment_of(str(AT)) == Moment(at=AT)
    read = moment_of(iso(AT)).at
    assert read is not None and AT <= read < AT + 1000, "what is shown is cut, and must be in"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-07-26", _local("2026-07-26T00:00")),
        ("2026-07-26 14:05", _local("2026-07-26T14:05")),
        ("2026-07-26T14:05:09", _local("2026-07-26T14:05:09")),
        ("2026-07-26T14:05:09.1", _local("2026-07-26T14:05:09") + 199_999),
        ("2026-07-26T14:05:09.123456", _local("2026-07-26T14:05:09") + 123_456),
        ("2026-07-26T14:05:09Z", 1_785_074_709_000_000),
        ("2026-07-26T14:05:09.5+02:00", 1_785_067_509_599_999),
        ("9:05", _local(f"{datetime.now():%Y-%m-%d}T09:05")),
        ("14:05:09.123", _local(f"{datetime.now():%Y-%m-%d}T14:05:09") + 123_999),
    ],
)
def test_times_as_people_write_them(text: str, at: int) -> None:
    assert moment_of(text) == Moment(at=at)


def test_how_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "microseconds_now", lambda: AT)
    for text, seconds in (("90s", 90), ("10m", 600), ("2h30m", 9000), ("3d4h", 273_600), ("0s", 0)):
        assert moment_of(text) == Moment(at=AT - seconds * 1_000_000)


def test_numbers_and_now() -> None:
    assert moment_of("0") == Moment(seq=0) and moment_of("57") == Moment(seq=57)
    assert moment_of("now") == Moment()


@pytest.mark.parametrize("text", ["", "-5", "m", "5 m", "14", "25:00", "2026-13-01", "20260726T99", "1.5", "²"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time like"):
        TIME.convert(text, None, None)
    if text != "14":
        with pytest.raises(click.BadParameter, match="is not a number of the journal"):
            MOMENT.convert(text, None, None)
