"""`interlock settings` and `interlock accounts`: what an operator sees of what may be turned, and of what is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.cli.commands import settings as command
from interlock.cli.exits import Exit
from interlock.cli.layout import table
from interlock.embed.settings import states
from interlock.schema.settings import SETTINGS
from tests.command import EXAMPLE, Shell

ADVANCED = EXAMPLE.parent / "advanced.toml"
OVERCOMMITTED = EXAMPLE.parent / "overcommitted.toml"
SMALL = ("--offering", "small", "--template", "debian-12")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database with the cloud of `advanced.toml`, which sets some settings."""
    made = Shell(tmp_path)
    made("init", str(ADVANCED))
    return made


def lines(shell: Shell, name: str) -> list[list[str]]:
    """What the list says of one setting: value, scope, default."""
    return [row[1:4] for row in shell("settings").rows if row[0] == name]


def test_a_pipe_gets_a_line_a_value_with_its_scope_default_and_meaning(shell: Shell) -> None:
    said = shell("settings")
    assert said.rows[0] == ["SETTING", "VALUE", "SCOPE", "DEFAULT", "MEANING"]
    assert list(dict.fromkeys(row[0] for row in said.rows[1:])) == list(SETTINGS)
    for row in SETTINGS.values():
        assert row.meaning in said.out
    assert lines(shell, "instance.name") == [["VM", "default", "VM"]]
    assert lines(shell, "expunge.delay") == [["3600", "global", "86400"], ["-1", "account/alice", "86400"]]


def test_a_terminal_gets_the_meaning_beneath() -> None:
    rows = [row for each in states([]) for row in command._rows(each, terminal=True)]
    for width in (80, 120):
        found = ["".join(words for words, _ in line) for line in table(command.COLUMNS, rows, width, command.INDENT)]
        assert max(map(len, found)) <= width
        for row in SETTINGS.values():
            assert row.meaning in " ".join(" ".join(found).split())


def test_set_get_and_unset(shell: Shell) -> None:
    assert shell("settings", "set", "expunge.delay", "-1", "--account", "bob").out == (
        "expunge.delay is -1 for account/bob\n"
    )
    shell("settings", "set", "expunge.delay", "60")
    assert lines(shell, "expunge.delay") == [
        ["60", "global", "86400"],
        ["-1", "account/alice", "86400"],
        ["-1", "account/bob", "86400"],
    ]
    assert shell("settings", "unset", "expunge.delay").out == "expunge.delay is not set any more\n"
    shown = shell("settings", "get", "expunge.delay").out
    assert "recovered until then" in shown and "a whole number, at least -1" in shown
    assert shown.splitlines()[-4:] == ["VALUE  SCOPE", "86400  default", "-1     account/alice", "-1     account/bob"]


@pytest.mark.parametrize(
    ("option", "place", "name", "value"),
    [
        ("zone", "adv", "vm.deployment.planner", "dispersing"),
        ("cluster", "flash", "cluster.cpu.allocated.capacity.disablethreshold", 0.5),
        ("pool", "nvme", "volume.create.full.clone", False),
        ("account", "bob", "vm.security.groups.max", 3),
    ],
)
def test_the_option_that_names_a_place_says_the_scope(
    shell: Shell, option: str, place: str, name: str, value: object
) -> None:
    said = shell("settings", "set", name, str(value).lower(), f"--{option}", place, "--json").json
    scope = "storage_pool" if option == "pool" else option
    assert said == {"name": name, "scope": scope, "place": place, "value": value}
    (found,) = [each for each in shell("settings", "--json").json if each["name"] == name]
    assert found["values"] == [{"scope": scope, "place": place, "value": value}]
    assert found == shell("settings", "get", name, "--json").json
    gone = shell("settings", "unset", name, f"--{option}", place, "--json").json
    assert gone == {"name": name, "scope": scope, "place": place, "value": None}
    assert shell("settings", "get", name, "--json").json["values"] == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("get", "nix"), Exit.REFUSED, "there is no setting 'nix'; `interlock settings` lists them"),
        (("set", "nix", "1"), Exit.REFUSED, "there is no setting 'nix'"),
        (("unset", "nix"), Exit.REFUSED, "there is no setting 'nix'"),
        (("set", "expunge.delay", "soon"), Exit.REFUSED, "is a whole number, at least -1, not 'soon'"),
        (("set", "expunge.delay", "-2"), Exit.REFUSED, "is a whole number, at least -1, not '-2'"),
        (("set", "expunge.delay", "1", "--zone", "adv"), Exit.REFUSED, "is set for global, account, not for a zone"),
        (("set", "expunge.delay", "1", "--account", "eve"), Exit.REFUSED, "there are: acme-admin, alice, bob, system"),
        (("unset", "consider.last.host"), Exit.REFUSED, "is not set: there is nothing to take back"),
        (("set", "expunge.delay", "1", "--account", "bob", "--zone", "adv"), Exit.USAGE, "name one place, not 2"),
        (("set", "expunge.delay"), Exit.USAGE, "'VALUE'"),
        (("set", "expunge.delay", "1", "2"), Exit.USAGE, "unexpected extra argument"),
        (("put", "expunge.delay", "1"), Exit.USAGE, "'put'"),
        (("get", "expunge.delay", "--db", "nix.db"), Exit.STORE, "there is no database nix.db"),
        (("--db", "nix.db", "get", "expunge.delay"), Exit.STORE, "there is no database nix.db"),
        (("--db", "nix.db"), Exit.STORE, "there is no database nix.db"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_an_error_is_one_line_and_an_exit_code(shell: Shell, args: tuple[str, ...], code: Exit, words: str) -> None:
    before = shell("settings").out
    said = shell("settings", *args, exit=code)
    assert said.out == "" and words in said.err.splitlines()[0]
    assert words in shell("settings", *args, "--json", exit=code).json["error"]["message"]
    assert shell("settings").out == before


@pytest.mark.parametrize("name", ["get", "set", "unset"])
def test_each_command_beneath_has_a_help_and_takes_db_and_json(shell: Shell, name: str) -> None:
    said = shell("settings", name, "--help").out
    assert f"settings {name} [OPTIONS] NAME" in said and "--db DB" in said and "--json" in said
    assert f"interlock settings {name}" in (EXAMPLE.parent.parent / "docs" / "cli.md").read_text()


def test_a_setting_decides_on_the_next_command(shell: Shell) -> None:
    shell("settings", "set", "expunge.delay", "0")
    shell("deploy", "web", *SMALL)
    shell("destroy", "web")
    shell("deploy", "--count", "0")
    assert shell.states() == {"web": "Expunged"}


def test_accounts_and_domains_show_what_is_used_of_their_limits(shell: Shell) -> None:
    shell("deploy", "web", *SMALL, "--account", "alice", "--count", "2")
    rows = {row[0]: row[1:] for row in shell("accounts").rows if row}
    assert rows["alice"] == ["sales", "2/8", "2/16", "2048/16384", "2/16", "4096/65536", "2/8", "user", "enabled"]
    assert rows["bob"] == ["research", "0/-", "0/-", "0/-", "0/-", "0/-", "0/-", "user", "enabled"]
    assert rows["sales"] == ["2/12", "2/-", "2048/-", "2/-", "4096/-", "2/10", "acme"]
    assert rows["acme"] == ["2/30", "2/60", "2048/65536", "2/-", "4096/262144", "2/-", "ROOT"]
    said = shell("accounts", "--json").json
    assert [each["id"] for each in said["domains"]] == ["ROOT", "acme", "research", "sales"]
    (alice,) = [each for each in said["accounts"] if each["id"] == "alice"]
    assert (alice["vms_used"], alice["vms_limit"], alice["domain_id"]) == (2, 8, "sales")


def test_hosts_show_what_is_held_of_what_they_really_have(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell("init", str(OVERCOMMITTED))
    shell("deploy", "web", "--offering", "medium", "--template", "debian-12")
    vm = shell("show", "web", "--json").json
    (row,) = [row for row in shell("hosts").rows if row and row[0] == vm["host_id"]]
    (host,) = [each for each in shell("hosts", "--json").json["hosts"] if each["id"] == vm["host_id"]]
    assert vm["cpu_held_mhz"] == int(vm["cpu_mhz"] / host["cpu_overcommit"]) < vm["cpu_mhz"]
    assert f"{vm['cpu_held_mhz']}/{host['cpu_mhz']}" in row
    assert f"{vm['memory_held_mib']}/{host['memory_mib']}" in row
    assert f"{host['cpu_overcommit']:g}×/{host['memory_overcommit']:g}×" in row
    assert f"{vm['cpu_held_mhz']} of its {vm['cpu_mhz']} MHz" in shell("show", "web").out
