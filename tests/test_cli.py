"""The commands, one by one: what they do, what they say to a person, to a pipe and to a program, and what they exit
with."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from interlock.cli.exits import MEANING, Exit, gravest
from interlock.cli.face import engine_heard
from interlock.cli.main import COMMANDS, cli
from interlock.drivers.simulator import Fault, FaultKind, Simulator
from interlock.engine.orchestrator import log
from tests.command import EXAMPLE, LARGE, SMALL, Shell, described

DOCS = Path(__file__).parent.parent / "docs" / "cli.md"
GOLDEN = Path(__file__).parent / "golden"
HEAVY = ("alembic", "asyncio", "interlock.embed", "msgspec", "rich", "sqlalchemy", "structlog", "transitions")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database with the example's cloud, without latency."""
    made = Shell(tmp_path)
    made.init()
    return made


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The same, shared by tests whose commands change nothing."""
    made = Shell(tmp_path_factory.mktemp("untouched"))
    made.init()
    return made


# --- help


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "interlock.cli.main", "--help"]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    for name, (_, short) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(short)}$", said.stdout, re.MULTILINE)
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert "click" in imported
    found = [name for name in imported for heavy in HEAVY if name == heavy or name.startswith(f"{heavy}.")]
    assert found == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_and_takes_db_and_json(tmp_path: Path, name: str) -> None:
    said = Shell(tmp_path)(name, "--help")
    assert f"{name} [OPTIONS]" in said.out
    assert "--db DB" in said.out and "--json" in said.out
    assert name in cli.list_commands(None)  # type: ignore[arg-type]


def test_the_exit_codes_are_one_table_in_help_and_docs(tmp_path: Path) -> None:
    said = Shell(tmp_path)("--help").out
    documented = DOCS.read_text()
    for code, meaning in MEANING.items():
        assert f"{code.value:3}  {meaning}" in said
        assert f"| {code.value} | {meaning} |" in documented
    assert set(MEANING) == set(Exit)
    for name in COMMANDS:
        assert f"interlock {name}" in documented


def test_the_gravest_of_several_ends_is_told() -> None:
    assert gravest([]) is Exit.OK
    assert gravest([Exit.OK, Exit.REFUSED, Exit.FAILED]) is Exit.FAILED
    assert gravest([Exit.STUCK, Exit.FAILED]) is Exit.STUCK


# --- the life of a VM


def test_a_vm_goes_through_its_life_by_commands(shell: Shell) -> None:
    assert "web" in shell("deploy", "web", *SMALL, "--no-start").out
    for command, state in (
        ("start", "Running"),
        ("reboot", "Running"),
        ("stop", "Stopped"),
        ("start", "Running"),
        ("destroy", "Destroyed"),
        ("recover", "Stopped"),
        ("destroy", "Destroyed"),
        ("expunge", "Expunged"),
    ):
        (row,) = shell(command, "web").rows
        assert row[:2] == ["web", state]
        assert shell.states() == {"web": state}
    kinds = [each["kind"] for each in shell("show", "web", "--json").json["operations"]]
    assert kinds == ["deploy", "start", "reboot", "stop", "start", "destroy", "recover", "destroy", "expunge"]


def test_forced_and_by_id(shell: Shell) -> None:
    shell("deploy", "web", *SMALL)
    vm = shell("show", "web", "--json").json
    assert shell("stop", "--forced", vm["id"]).rows[0][:2] == ["web", "Stopped"]
    requests = [each["request"] for each in shell("show", vm["id"], "--json").json["operations"]]
    assert requests[1] == {"vm": vm["id"], "forced": True}
    assert shell("destroy", "web", "--forced").rows[0][:2] == ["web", "Destroyed"]


def test_several_names_are_all_tried_and_the_exit_code_tells_of_those_refused(shell: Shell) -> None:
    shell("deploy", "web", *SMALL, "--count", "3")
    said = shell("stop", "web-1", "nix", "web-2", "web-1", exit=Exit.REFUSED)
    assert sorted(row[:2] for row in said.rows) == [["web-1", "Stopped"], ["web-2", "Stopped"]]
    assert "interlock: nix: there is no VM 'nix'" in said.err
    again = shell("stop", "web-1", "web-3", "--json", exit=Exit.REFUSED).json
    (refused,) = [each for each in again["results"] if each["error"]]
    assert refused["name"] == "web-1" and refused["error"]["code"] == "invalid-request"
    assert again["taken_over"] == []


def test_a_failed_operation_exits_with_1_and_says_why(shell: Shell, tmp_path: Path) -> None:
    shell("deploy", "web", *SMALL)
    order(tmp_path, Fault(kind=FaultKind.REFUSE_VM, command="StopDomain"))
    said = shell("stop", "web", exit=Exit.FAILED)
    assert said.rows[0][:2] == ["web", "Running"]
    assert "this VM is refused" in said.out


def order(folder: Path, *faults: Fault) -> None:
    """Have the simulated world go wrong."""

    async def give() -> None:
        async with await Simulator.at(folder / "interlock.simulator") as simulator:
            for fault in faults:
                await simulator.order(fault)

    asyncio.run(give())


# --- deploy


def test_count_names_them_and_spreads_them_over_the_zones(shell: Shell) -> None:
    shell("deploy", "solo", *SMALL, "--count", "1")
    said = shell("deploy", "web", *SMALL, "--count", "4")
    assert sorted(row[0] for row in said.rows) == ["web-1", "web-2", "web-3", "web-4"]
    zones = {vm["name"]: vm["zone_id"] for vm in shell("ps", "--json").json}
    assert zones.pop("solo") in ("north", "south")
    assert zones == {"web-1": "north", "web-2": "south", "web-3": "north", "web-4": "south"}
    shell("deploy", "here", *SMALL, "--count", "2", "--zone", "south")
    assert {vm["name"] for vm in shell("ps", "--zone", "south", "--json").json} >= {"here-1", "here-2"}


def test_a_named_network_decides_on_the_zone_and_disks_are_made(shell: Shell) -> None:
    networks = ("--network", "acme-private", "--network", "north-shared")
    shell("deploy", "web", *SMALL, "--account", "acme", *networks, "--data-disk", "10", "--data-disk", "20")
    vm = shell("show", "web", "--json").json
    assert [nic["network_id"] for nic in vm["nics"]] == ["acme-private", "north-shared"]
    assert [(each["kind"], each["size_mib"]) for each in vm["volumes"]] == [("ROOT", 2048), ("DATA", 10), ("DATA", 20)]


def test_a_planner_may_be_named(shell: Shell) -> None:
    shell("deploy", "web", *SMALL, "--planner", "dispersing")
    assert shell("show", "web", "--json").json["planner"] == "dispersing"


def test_count_zero_deploys_nothing(shell: Shell) -> None:
    said = shell("deploy", "--count", "0")
    assert said.out == "" and "nothing was under way" in said.err
    assert shell("deploy", "--count", "0", "--json").json == {"results": [], "taken_over": []}
    assert shell.states() == {}


def test_requests_refused_for_one_reason_are_told_together(shell: Shell) -> None:
    said = shell("deploy", "web", "--offering", "huge", "--template", "debian-12", "--count", "30", exit=Exit.REFUSED)
    assert said.out == ""
    assert said.err.splitlines() == [
        "interlock: web-1, web-2, web-3 and 27 more: there is no offering 'huge'; there are: large, local, small"
    ]


def test_a_full_cloud_runs_what_fits_and_names_why_the_rest_does_not(shell: Shell) -> None:
    said = shell("deploy", "big", *LARGE, "--count", "10", exit=Exit.FAILED)
    states = shell.states()
    assert sorted(states.values()) == ["Error"] * 2 + ["Running"] * 8
    for row, line in zip(said.rows, said.out.splitlines(), strict=True):
        assert row[1] == states[row[0]]
        assert ("no place for VM" in line) == (row[1] == "Error")
    refused = next(name for name, state in states.items() if state == "Error")
    shown = shell("show", refused).out
    hosts = re.findall(r"host (\S+): needs 8192 MiB memory, has 0 free", shown)
    assert len(hosts) in (2, 4) and len({host.split("-")[0] for host in hosts}) == 1
    (result,) = shell("deploy", "more", *LARGE, "--zone", "north", "--json", exit=Exit.FAILED).json["results"]
    assert result["error"]["code"] == "operation-failed" and len(result["error"]["reasons"]) == 4


# --- looking


def test_ps_filters_and_hides_the_expunged(shell: Shell) -> None:
    shell("deploy", "web", *SMALL, "--count", "4")
    shell("deploy", "own", *SMALL, "--account", "acme", "--zone", "north")
    shell("stop", "web-1")
    shell("destroy", "web-2")
    shell("expunge", "web-2")

    def listed(*args: str) -> list[str]:
        return [row[0] for row in shell("ps", *args).rows[1:]]

    assert listed() == ["web-1", "web-3", "web-4", "own"]
    assert listed("--all") == ["web-1", "web-2", "web-3", "web-4", "own"]
    assert listed("--state", "Expunged") == ["web-2"]
    assert listed("--state", "running", "--zone", "north") == ["web-3", "own"]
    assert listed("--account", "acme") == ["own"]
    host = shell("show", "web-4", "--json").json["host_id"]
    assert listed("--host", host) == ["web-4"]
    assert listed("--host", "nowhere") == []


def test_ps_reads_all_pages_and_a_pipe_gets_every_column_in_full(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.cli.listing.PAGE", 3)
    shell("deploy", "a-rather-long-name-for-a-machine", *SMALL, "--count", "7", "--no-start")
    head, *rows = shell("ps").rows
    assert head == ["NAME", "STATE", "SINCE", "HOST", "IP", "ZONE", "OFFERING", "ACCOUNT", "ID", "CREATED"]
    assert len(rows) == 7 and {len(row) for row in rows} == {len(head)}
    by_id = {vm["id"]: vm for vm in shell("ps", "--json").json}
    for row in rows:
        vm = by_id[row[8]]
        assert row[0] == vm["name"] and row[4] == vm["nics"][0]["ip_address"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", row[9])


def test_show_has_all_that_belongs_to_a_vm(shell: Shell) -> None:
    shell("deploy", "web", *SMALL)
    vm = shell("show", "web", "--json").json
    shown = shell("show", "web").out
    (nic,), (volume,), (operation,) = vm["nics"], vm["volumes"], vm["operations"]
    for value in (vm["id"], vm["host_id"], nic["id"], nic["ip_address"], nic["mac_address"], nic["gateway"]):
        assert value in shown
    for value in (volume["id"], volume["name"], volume["pool_id"], operation["id"]):
        assert value in shown


def test_history_has_lanes_and_every_transition(shell: Shell) -> None:
    shell("deploy", "web", *SMALL)
    said = shell("history", "web")
    lanes = [row[2:] for row in said.rows if re.match(r"\d{4}-", row[0])]
    assert lanes == [
        ["Allocated", "Allocated", "Allocated", "deploy", "Queued"],
        ["Starting", "Reserving", "Creating", "deploy", "Running"],
        ["-", "Reserved", "Ready", "deploy", "Running"],
        ["Running", "-", "-", "deploy", "Succeeded"],
    ]
    assert "StartRequested" in said.out and "first-fit chose" in said.out and "asks for StartDomain" in said.out
    document = shell("history", "web", "--json").json
    assert document["name"] == "web" and document["state"] == "Running"
    first = document["transitions"][0]
    assert (first["machine"], first["event"], first["destination"]) == ("vm", "Created", "Allocated")
    assert first["changes"]["name"] == "web"
    assert [each["seq"] for each in document["transitions"]] == list(range(2, len(document["transitions"]) + 2))


def test_hosts_shows_what_is_held(shell: Shell) -> None:
    shell("deploy", "big", *LARGE, "--zone", "south")
    host = shell("show", "big", "--json").json["host_id"]
    (row,) = [row for row in shell("hosts").rows if row and row[0] == host]
    assert "8192/16384" in row and "50%" in row
    (held,) = [each for each in shell("hosts", "--json").json["hosts"] if each["id"] == host]
    assert held["memory_used_mib"] == 8192


@pytest.mark.parametrize("name", ["vm", "nic", "volume", "operation"])
def test_machines_come_in_every_form(tmp_path: Path, name: str) -> None:
    shell = Shell(tmp_path)
    golden = (GOLDEN / f"machine-{name}.json").read_text()
    assert shell("machines", name, "--format", "json").out == golden
    assert shell("machines", name, "--json").out == golden
    assert shell("machines", name, "--format", "mermaid").out.startswith("stateDiagram-v2")
    assert shell("machines", name, "--format", "dot").out.startswith("digraph")
    assert shell("machines", name, "--format", "svg").out.startswith("<svg")
    every = {each["machine"]: each for each in shell("machines", "--format", "json").json}
    _, *rows = shell("machines", name).rows
    stated = {(row[1], row[2], row[3]) for row in rows if row[2] != "-"}
    moves = every[name]["transitions"]
    assert stated == {(move["source"], move["event"], move["destination"]) for move in moves}
    assert {row[1] for row in rows} == {state["name"] for state in every[name]["states"]}


def test_machines_without_a_name_shows_all(tmp_path: Path) -> None:
    heads = {row[0] for row in Shell(tmp_path)("machines").rows if row}
    assert {"vm", "nic", "volume", "operation"} <= heads


# --- doctor, resolve


def test_doctor_finds_nothing_in_a_healthy_database(shell: Shell) -> None:
    shell("deploy", "web", *SMALL)
    said = shell("doctor")
    assert "nothing found" in said.out and "1 Running" in said.out
    facts = shell("doctor", "--json").json
    assert facts["findings"] == [] and facts["vms"] == {"Running": 1} and facts["drivers"] == ["simulator"]
    assert facts["plugins"]["planners"] == ["concentrating", "dispersing", "first-fit", "implicit-dedication"]


def test_a_stuck_operation_is_found_and_a_person_gets_it_out(shell: Shell, tmp_path: Path) -> None:
    refuse_start = Fault(kind=FaultKind.REFUSE_VM, command="StartDomain")
    order(tmp_path, refuse_start, Fault(kind=FaultKind.REFUSE_VM, command="ReleaseNic", times=2))
    said = shell("deploy", "web", *SMALL, exit=Exit.STUCK)
    assert "its undo was refused" in said.out
    operation = shell("show", "web", "--json").json["operations"][0]["id"]
    (finding,) = shell("doctor", "--json", exit=Exit.FAILED).json["findings"]
    assert finding["code"] == "stuck" and operation in finding["message"]
    assert "1 finding" in shell("doctor", exit=Exit.FAILED).out
    assert "resolve it" in shell("stop", "web", exit=Exit.REFUSED).err
    shell("resolve", operation, "--reason", "no way", exit=Exit.USAGE)
    shell("resolve", operation, "--undo", exit=Exit.USAGE)
    shell("resolve", operation, "--undo", "--reason", "again", exit=Exit.STUCK)
    assert shell("resolve", operation, "--accept", "--reason", "I looked").rows[0][:2] == ["web", "Error"]
    reasons = [each["cause"] for each in shell("history", "web", "--json").json["transitions"]]
    assert any(reason and reason.startswith("cli:") and reason.endswith("I looked") for reason in reasons)
    shell("doctor")
    shell("resolve", operation, "--undo", "--reason", "once more", exit=Exit.REFUSED)


# --- errors


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("show", "nix"), Exit.REFUSED, "there is no VM 'nix'"),
        (("history", "nix"), Exit.REFUSED, "there is no VM, disk or operation 'nix'"),
        (("stop", "nix"), Exit.REFUSED, "there is no VM 'nix'"),
        (("ps", "--state", "Sleeping"), Exit.REFUSED, "its states are: Allocated, Starting, Running"),
        (("deploy", "9x", *SMALL), Exit.REFUSED, "begins with a digit"),
        (("deploy", "x", *SMALL, "--zone", "mars"), Exit.REFUSED, "there are: north, south"),
        (("deploy", "x", *SMALL, "--network", "lan"), Exit.REFUSED, "acme-private, north-shared, south-shared"),
        (("deploy", "x", *SMALL, "--account", "nix"), Exit.REFUSED, "there are: acme, system"),
        (("deploy", "x", *SMALL, "--planner", "luck"), Exit.REFUSED, "there are: concentrating"),
        (("deploy", "x", "--offering", "small", "--template", "t"), Exit.REFUSED, "there are: debian-12"),
        (("deploy", "x"), Exit.USAGE, "missing --offering, --template"),
        (("deploy", "x", *SMALL, "--count", "-1"), Exit.USAGE, "'--count'"),
        (("depoly", "x"), Exit.USAGE, "Did you mean"),
        (("stop",), Exit.USAGE, "NAME"),
        (("ps", "much"), Exit.USAGE, "unexpected extra argument"),
        (("machines", "car"), Exit.USAGE, "'car' is not one of"),
        (("machines", "--format", "svg"), Exit.USAGE, "--format svg"),
        (("resolve", "nix", "--undo", "--reason", "x"), Exit.REFUSED, "there is no operation 'nix'"),
        (("cancel", "nix"), Exit.REFUSED, "there is no operation 'nix'"),
        (("init", "nix.toml"), Exit.REFUSED, "cannot read the cloud description nix.toml"),
        (("--db", "nix.db", "ps"), Exit.STORE, "make one with `interlock init CLOUD.toml`"),
        (("deploy", "x", *SMALL, "--db", "nix.db"), Exit.STORE, "there is no database nix.db"),
        (("ps", "--db", "mysql://host/db"), Exit.STORE, "SQLite and PostgreSQL"),
        (("ps", "--db", __file__), Exit.STORE, "not a database"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_an_error_is_one_line_and_an_exit_code(untouched: Shell, args: tuple[str, ...], code: Exit, words: str) -> None:
    said = untouched(*args, exit=code)
    first, *others = said.err.splitlines()
    assert said.out == "" and first.startswith("interlock: ") and words in first
    assert len(others) == (1 if code is Exit.USAGE else 0)
    document = untouched(*args, "--json", exit=code).json
    error = document["error"] if "error" in document else document["results"][0]["error"]
    assert words in error["message"] and error["code"]


def test_without_a_command_it_says_how(tmp_path: Path) -> None:
    assert "Usage: " in Shell(tmp_path)(exit=Exit.USAGE).err


def test_looking_makes_no_database(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for args in (("ps",), ("show", "x"), ("history", "x"), ("watch",), ("hosts",), ("doctor",), ("stop", "x")):
        shell(*args, exit=Exit.STORE)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_database_is_refused(shell: Shell) -> None:
    import sqlite3

    with sqlite3.connect(shell.env["INTERLOCK_DB"]) as database:
        database.execute("UPDATE interlock_version SET version_num = '9999'")
    database.close()
    assert "newer release" in shell("ps", exit=Exit.STORE).err


def test_troubles_of_the_engine_are_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with engine_heard():
        log.logger().warning("the disk is full", seconds=0.2)
        try:
            raise OSError("gone")
        except OSError:
            log.logger().exception("it broke", vm="web")
        log.logger().info("nobody wants to know")
    log.logger().warning("nobody listens")
    assert capsys.readouterr().err.splitlines() == [
        "interlock: the disk is full (seconds=0.2)",
        "interlock: it broke (vm='web'): OSError: gone",
    ]


# --- the database's name, init


def test_db_is_taken_before_and_after_the_command_then_from_the_environment_then_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell, cloud = Shell(tmp_path), str(described(tmp_path))
    shell("--db", "before.db", "init", cloud)
    shell("init", cloud, "--db", "after.db")
    shell("--db", "not-this.db", "init", cloud, "--db", "nearer.db")
    shell("init", cloud, env={"INTERLOCK_DB": "env.db"})
    shell("init", cloud, env={"INTERLOCK_DB": ""})
    made = {path.name for path in tmp_path.glob("*.db")}
    assert made == {"before.db", "after.db", "nearer.db", "env.db", "interlock.db"}
    assert shell("--json", "--db", "env.db", "ps").json == []


def test_init_may_be_repeated_and_tells_what_there_is(shell: Shell, tmp_path: Path) -> None:
    shell("deploy", "web", *SMALL)
    assert "2 zones, 6 hosts, 6 pools, 3 networks, 3 offerings, 1 template" in shell.init().out
    document = shell("init", str(EXAMPLE), "--json").json
    assert document["places"]["host"] == 6 and document["database"].endswith("interlock.db")
    assert shell.states() == {"web": "Running"}


def test_a_cloud_whose_driver_does_not_open_is_refused_and_never_locks_anybody_out(tmp_path: Path) -> None:
    shell, wrong = Shell(tmp_path), tmp_path / "wrong.toml"
    wrong.write_text(EXAMPLE.read_text().replace("latency_ms", "latncy_ms"))
    assert "no option 'latncy_ms'" in shell("init", str(wrong), exit=Exit.STORE).err
    shell("ps")
    shell.init()
    shell("init", str(wrong), exit=Exit.STORE)
    shell("deploy", "web", *SMALL)


def test_nothing_is_left_behind_in_the_process(shell: Shell) -> None:
    shell("deploy", "web", *SMALL, "--count", "5")
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(5)  # a connection's thread may still be on its way out
    assert threading.enumerate() == [threading.main_thread()]


def test_it_works_the_same_on_both_databases(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path)
    shell.env = {"INTERLOCK_DB": empty_url}
    shell.init()
    shell("deploy", "web", *SMALL, "--count", "6")
    shell("stop", "web-1", "web-2")
    assert sorted(shell.states().values()) == ["Running"] * 4 + ["Stopped"] * 2
    shell("doctor")
