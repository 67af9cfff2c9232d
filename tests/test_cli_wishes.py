"""`deploy`, `start` and the commands of changes ask for what their options say, on whose rights `--as` says; what is
misspelt is told how it is spelt. What the engine makes of each field is not tested here."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.cli.exits import Exit
from interlock.cli.wishes import ADDRESSES, DiskOption, LabelOption, NicOption
from interlock.schema.requests import (
    AssignVM,
    DeployVM,
    DiskRequest,
    MigrateVM,
    NicRequest,
    RestoreVM,
    ScaleVM,
    StartVM,
)
from tests.command import EXAMPLE, Shell

ADVANCED = EXAMPLE.parent / "advanced.toml"
SMALL = ("--offering", "small", "--template", "debian-12")
words = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-."), min_size=1, max_size=20)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database with the cloud of `advanced.toml`."""
    made = Shell(tmp_path)
    made("init", str(ADVANCED))
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str | None]]:
    """Requests as they reach the engine, each with its caller; none is answered."""
    from interlock.embed.engine import Engine
    from interlock.schema.errors import InvalidRequest

    found: list[tuple[Any, str | None]] = []

    async def submit(_: Engine, request: Any, *, caller: str | None = None, **__: Any) -> None:
        found.append((request, caller))
        raise InvalidRequest("noted")

    monkeypatch.setattr(Engine, "submit", submit)
    return found


def operations(shell: Shell, name: str) -> list[dict[str, Any]]:
    """The operations on a VM."""
    return list(shell("show", name, "--json").json["operations"])


# --- what is read


@given(words, st.dictionaries(st.sampled_from(sorted(ADDRESSES)), words))
def test_a_nic_is_read_as_it_is_said(network: str, addresses: dict[str, str]) -> None:
    said = ",".join([network, *(f"{key}={value}" for key, value in addresses.items())])
    fields = {ADDRESSES[key]: value for key, value in addresses.items()}
    assert NicOption().convert(said, None, None) == NicRequest(network, **fields)


@given(words, st.none() | st.integers(1, 2**20))
def test_a_disk_is_a_size_or_an_offering_with_or_without_one(offering: str, size: int | None) -> None:
    said = offering if size is None else f"{offering}:{size}"
    expected = int(offering) if size is None and offering.isdecimal() else DiskRequest(offering, size)
    assert DiskOption().convert(said, None, None) == expected


@given(words, st.text(max_size=20))
def test_a_label_is_all_before_and_all_after_the_first_sign(key: str, value: str) -> None:
    assert LabelOption().convert(f"{key}={value}", None, None) == (key, value)


@pytest.mark.parametrize(
    ("option", "said", "how"),
    [
        (NicOption(), "net,ip", "say NETWORK[,ip=ADDRESS]"),
        (NicOption(), "net,ip=", "say NETWORK[,ip=ADDRESS]"),
        (NicOption(), "net,host=a", "say NETWORK[,ip=ADDRESS]"),
        (NicOption(), "net,ip=1,ip=2", "say NETWORK[,ip=ADDRESS]"),
        (DiskOption(), ":5", "say MIB, OFFERING or OFFERING:MIB"),
        (DiskOption(), "data:", "say MIB, OFFERING or OFFERING:MIB"),
        (DiskOption(), "data:big", "say MIB, OFFERING or OFFERING:MIB"),
        (DiskOption(), "", "say MIB, OFFERING or OFFERING:MIB"),
        (LabelOption(), "a", "say KEY=VALUE"),
        (LabelOption(), "=a", "say KEY=VALUE"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_what_is_misspelt_is_told_how_it_is_spelt(option: click.ParamType[Any], said: str, how: str) -> None:
    with pytest.raises(click.BadParameter) as wrong:
        option.convert(said, None, None)
    assert how in wrong.value.message and repr(said) in wrong.value.message


# --- what is asked


def test_every_field_of_a_deploy_has_an_option_and_says_what_it_says(
    shell: Shell, asked: list[tuple[Any, str | None]], tmp_path: Path
) -> None:
    (tmp_path / "user-data").write_bytes(b"#cloud-config\n\xff")
    shell(
        "deploy", "web", "--offering", "any-size", "--template", "installer", "--zone", "adv", "--account", "alice",
        "--display-name", "My web", "--hypervisor", "kvm", "--network", "public,ip=203.0.113.9", "--nic",
        "alice-net,ip6=2001:db8::1,mac=02:00:00:00:00:01", "--default-network", "alice-net", "--root-size", "4096",
        "--root-offering", "data", "--data-disk", "10", "--data-disk", "any-disk:20", "--data-disk", "data",
        "--cpu-cores", "2", "--cpu-mhz", "1500", "--memory", "2048", "--security-group", "alice/a",
        "--security-group", "alice/b", "--affinity-group", "apart", "--planner", "dispersing", "--pod", "pod-1",
        "--cluster", "general", "--host", "general-host-1", "--cpu-overcommit", "2", "--memory-overcommit", "1.5",
        "--user-data", str(tmp_path / "user-data"), "--ssh-key", "k", "--detail", "a=b", "--detail", "c=d=e",
        "--tag", "f=", "--no-start", "--as", "acme-admin",
        exit=Exit.REFUSED,
    )  # fmt: skip
    ((request, caller),) = asked
    assert caller == "acme-admin"
    assert request == DeployVM(
        name="web",
        offering="any-size",
        template="installer",
        zone="adv",
        account="alice",
        display_name="My web",
        hypervisor="kvm",
        nics=(
            NicRequest("public", ip_address="203.0.113.9"),
            NicRequest("alice-net", ip6_address="2001:db8::1", mac_address="02:00:00:00:00:01"),
        ),
        default_nic=1,
        root_mib=4096,
        root_offering="data",
        data_disks_mib=(10,),
        data_disks=(DiskRequest("any-disk", 20), DiskRequest("data")),
        cpu_cores=2,
        cpu_mhz=1500,
        memory_mib=2048,
        security_groups=("alice/a", "alice/b"),
        affinity_groups=("apart",),
        planner="dispersing",
        pod="pod-1",
        cluster="general",
        host="general-host-1",
        cpu_overcommit=2.0,
        memory_overcommit=1.5,
        user_data=base64.b64encode(b"#cloud-config\n\xff").decode(),
        ssh_keys=("k",),
        details={"a": "b", "c": "d=e"},
        tags={"f": ""},
        start=False,
    )
    defaults = dict(_fields(DeployVM(offering="any-size", template="installer")))
    said = {name for name, value in _fields(request) if name in ("offering", "template") or value != defaults[name]}
    assert said == set(DeployVM.__struct_fields__), "a field without an option"


def _fields(request: DeployVM) -> list[tuple[str, Any]]:
    return [(name, getattr(request, name)) for name in DeployVM.__struct_fields__]


def test_without_options_a_deploy_is_as_plain_as_its_request(shell: Shell, asked: list[tuple[Any, str | None]]) -> None:
    shell("deploy", *SMALL, exit=Exit.REFUSED)
    assert asked == [(DeployVM(offering="small", template="debian-12"), None)]


def test_a_start_may_say_where(shell: Shell, asked: list[tuple[Any, str | None]]) -> None:
    shell("start", "web", "--pod", "p", "--cluster", "c", "--host", "h", "--as", "bob", exit=Exit.REFUSED)
    assert asked == [(StartVM("web", pod="p", cluster="c", host="h"), "bob")]


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        (("migrate", "web", "--host", "h"), MigrateVM("web", host="h")),
        (("migrate", "web"), MigrateVM("web")),
        # Named as those of a deploy are.
        (
            ("scale", "web", "--offering", "o", "--cpu-cores", "2", "--cpu-mhz", "1500", "--memory", "2048"),
            ScaleVM("web", "o", cpu_cores=2, cpu_mhz=1500, memory_mib=2048),
        ),
        (("restore", "web", "--template", "t"), RestoreVM("web", template="t")),
        (
            ("assign", "web", "--account", "a", "--network", "n", "--network", "m", "--security-group", "g"),
            AssignVM("web", "a", networks=("n", "m"), security_groups=("g",)),
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_a_change_asks_for_what_its_options_say(
    shell: Shell, asked: list[tuple[Any, str | None]], said: tuple[str, ...], wish: Any
) -> None:
    shell(*said, exit=Exit.REFUSED)
    assert asked == [(wish, None)]


@pytest.mark.parametrize("kind", ["start", "stop", "reboot", "destroy", "recover", "expunge"])
def test_every_command_that_asks_may_ask_on_an_accounts_rights(
    shell: Shell, asked: list[tuple[Any, str | None]], kind: str
) -> None:
    shell(kind, "web", "--as", "bob", exit=Exit.REFUSED)
    shell(kind, "web", exit=Exit.REFUSED)
    assert [caller for _, caller in asked] == ["bob", None]


def test_user_data_may_come_from_standard_input(shell: Shell) -> None:
    process = shell.begin("deploy", "web", *SMALL, "--user-data", "-", "--no-start", stdin=-1)
    assert process.popen.stdin is not None
    process.popen.stdin.write("hello")
    process.popen.stdin.close()
    process.popen.stdin = None
    process.end()
    (deploy,) = operations(shell, "web")
    assert base64.b64decode(deploy["request"]["user_data"]) == b"hello"


# --- what comes of it


def test_the_request_and_its_caller_are_kept_with_the_operation(shell: Shell) -> None:
    shell("deploy", "web", *SMALL, "--account", "alice", "--as", "alice", "--tag", "a=b", "--display-name", "My web")
    (deploy,) = operations(shell, "web")
    assert deploy["caller_id"] == "alice"
    assert deploy["request"]["tags"] == {"a": "b"} and deploy["request"]["display_name"] == "My web"
    said = shell("stop", "web", "--as", "bob", exit=Exit.REFUSED)
    assert "account bob may not act for account alice" in said.err
    assert "no account 'eve'" in shell("stop", "web", "--as", "eve", exit=Exit.REFUSED).err
    shell("stop", "web", "--as", "acme-admin")
    assert operations(shell, "web")[-1]["caller_id"] == "acme-admin"


def test_show_tells_all_of_a_vm_that_a_person_asks_for(shell: Shell) -> None:
    nics = ("--nic", "public,ip=203.0.113.77", "--nic", "alice-net")
    shell("deploy", "web", *SMALL, "--account", "alice", *nics, "--display-name", "My web", "--data-disk", "10")
    vm, shown = shell("show", "web", "--json").json, shell("show", "web").out
    for value in (vm["instance_name"], "My web", "alice", f"{vm['cpu_held_mhz']} of its {vm['cpu_mhz']} MHz"):
        assert value in shown
    first, second = vm["nics"]
    assert first["ip_address"] == "203.0.113.77"
    for nic in (first, second):
        (row,) = [line.split() for line in shown.splitlines() if nic["id"] in line]
        assert {nic["ip_address"], nic["mac_address"], nic["ip6_address"] or "-"} <= set(row)
        assert ("(default)" in row) == nic["is_default"]
    for volume in vm["volumes"]:
        (row,) = [line.split() for line in shown.splitlines() if volume["id"] in line]
        assert row[0] == str(volume["device"]) and ("(root)" in row) == (volume["kind"] == "ROOT")
        assert (volume["clone"] or "-") in row


def test_a_vm_without_a_name_gets_one(shell: Shell) -> None:
    said = shell("deploy", *SMALL, "--count", "3", "--no-start")
    names = [row[0] for row in said.rows]
    assert len(set(names)) == 3 and set(names) == set(shell.states())


def test_those_without_a_name_are_numbered_where_they_are_refused(shell: Shell) -> None:
    said = shell("deploy", "--offering", "nix", "--template", "debian-12", "--count", "5", exit=Exit.REFUSED)
    assert said.err.startswith("interlock: #1, #2, #3 and 2 more: there is no offering 'nix'")


def test_a_place_that_is_named_decides_on_the_zone(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.init()
    shell("deploy", "web", *SMALL, "--host", "south-host-1", "--count", "3", "--no-start")
    assert {vm["zone_id"] for vm in shell("ps", "--json").json} == {"south"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--nic", "public,ip"), "say NETWORK[,ip=ADDRESS][,ip6=ADDRESS][,mac=ADDRESS]"),
        (("--nic", "public", "--default-network", "alice-net"), "--default-network alice-net is none of the networks"),
        (("--tag", "a=1", "--tag", "a=2"), "--tag a is given twice"),
        (("--detail", "a=1", "--detail", "a=1"), "--detail a is given twice"),
        (("--data-disk", "data:big"), "say MIB, OFFERING or OFFERING:MIB"),
        (("--user-data", "nix"), "No such file"),
        (("--memory", "much"), "'--memory'"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_cannot_be_meant_is_a_usage_error(shell: Shell, args: tuple[str, ...], words: str) -> None:
    said = shell("deploy", "web", *SMALL, *args, exit=Exit.USAGE)
    assert words in said.err.splitlines()[0]
    assert shell.states() == {}
