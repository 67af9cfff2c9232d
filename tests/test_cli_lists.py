"""Lists of the command line: how much they show, how they go on, and that nothing is left out without a word."""

from __future__ import annotations

import re

import pytest

from tests.command import SMALL, Shell

VMS = ("api-1", "api-2", "web-1", "web-2", "web-3")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Five VMs, two of which are stopped."""
    made = Shell(tmp_path_factory.mktemp("lists"))
    made.init()
    made("deploy", "api", *SMALL, "--count", "2")
    made("deploy", "web", *SMALL, "--count", "3", "--tag", "tier=front")
    made("stop", "web-1", "web-2")
    return made


def names(shell: Shell, *args: str) -> list[str]:
    """What `ps` lists."""
    return [row[0] for row in shell("ps", *args).rows[1:]]


def test_a_list_that_is_cut_says_how_it_goes_on_until_it_ends(shell: Shell) -> None:
    found: list[str] = []
    args: list[str] = []
    for _ in range(3):
        said = shell("ps", "--limit", "2", *args)
        found += [row[0] for row in said.rows[1:]]
        more = re.search(r"there are more: add (--after \S+), or --limit 0 for all", said.err)
        args = more[1].split() if more else []
    assert found == list(VMS) and not args
    assert len(names(shell, "--limit", "0")) == 5 == len(names(shell))


def test_a_list_by_the_beginning_of_names_goes_on_too(shell: Shell) -> None:
    said = shell("ps", "--prefix", "web", "--limit", "2")
    assert [row[0] for row in said.rows[1:]] == ["web-1", "web-2"]
    after = re.search(r"--after (\S+),", said.err)
    assert after is not None
    assert names(shell, "--prefix", "web", "--after", after[1]) == ["web-3"]


def test_json_is_the_list_alone(shell: Shell) -> None:
    said = shell("ps", "--json", "--limit", "1", "--youngest")
    assert [vm["name"] for vm in said.json] == ["web-3"]
    assert "--after" in said.err


@pytest.mark.parametrize(
    "args,expected",
    [
        (("--tag", "tier=front", "--state", "running"), ["web-3"]),
        (("--offering", "small"), list(VMS)),
        (("--cluster", "nowhere"), []),
        (("--group", "nobody/none"), []),
        (("--affinity-group", "none"), []),
    ],
)
def test_ps_filters(shell: Shell, args: tuple[str, ...], expected: list[str]) -> None:
    assert names(shell, *args) == expected


def test_ps_by_network(shell: Shell) -> None:
    on = {vm["name"]: {nic["network_id"] for nic in vm["nics"]} for vm in shell("ps", "--json").json}
    for network in {each for networks in on.values() for each in networks}:
        assert names(shell, "--network", network) == [name for name in VMS if network in on[name]] != []
    assert names(shell, "--network", "none") == []


def test_counts(shell: Shell) -> None:
    assert shell("ps", "--count").rows == [["STATE", "VMS"], ["Running", "3"], ["Stopped", "2"]]
    assert shell("ps", "--count", "--account", "acme", "--json").json == {}
    assert shell("ps", "--count", "--state", "stopped", "--json").json == {"Stopped": 2}
    assert shell("disks", "--count").out.strip() == "5"
    assert shell("disks", "--count", "--json").json == {"disks": 5}


@pytest.mark.parametrize("args", [("ps", "--prefix", "a"), ("disks", "--free"), ("disks", "--zone", "north")])
def test_nobody_counts_by_just_anything(shell: Shell, args: tuple[str, ...]) -> None:
    said = shell(*args, "--count", exit=2)
    assert re.search(rf"--count goes with .* only, not with {args[1]}", said.err)


def test_a_tag_has_a_value(shell: Shell) -> None:
    assert "a tag is KEY=VALUE, not 'tier'" in shell("ps", "--tag", "tier", exit=2).err


def test_disks_hosts_accounts_and_groups_go_on_too(shell: Shell) -> None:
    assert len(shell("disks", "--limit", "2", "--prefix", "ROOT-web").rows) == 3
    assert "--after" in shell("disks", "--limit", "2").err
    some = shell("hosts", "--limit", "1", "--json")
    assert len(some.json["hosts"]) == 1
    after = re.search(r"--after (\S+),", some.err)
    assert after is not None
    rest = shell("hosts", "--after", after[1], "--json").json
    both = [host["id"] for host in (*some.json["hosts"], *rest["hosts"])]
    assert both == sorted(host["id"] for host in shell("hosts", "--json").json["hosts"])
    assert rest["pools"] == []
    assert "there are more pools" in some.err
    north = shell("hosts", "--zone", "north", "--json").json
    assert {host["zone_id"] for host in (*north["hosts"], *north["pools"])} == {"north"}
    accounts = shell("accounts", "--limit", "1", "--json")
    assert len(accounts.json["accounts"]) == 1 and "--after" in accounts.err
    assert shell("groups", "--account", "nobody", "--json").json == {"groups": []}
