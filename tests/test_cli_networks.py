"""The commands of NICs and security groups: what they show and exit with, and that hosts are told before they end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock import DeployVM, Engine
from tests.command import Shell
from tests.world import CLOUD


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The cloud of `world.py`, in which a VM of the group `system/web` runs."""
    (tmp_path / "cloud.toml").write_text(CLOUD.format(hosts=2, memory=8192, space=100_000))
    made = Shell(tmp_path)
    made("init", str(tmp_path / "cloud.toml"))

    async def deploy() -> None:
        async with Engine.open(str(tmp_path / "interlock.db")) as engine:
            wish = DeployVM(name="web", offering="small", template="t", security_groups=("system/web",))
            await (await engine.deploy(wish)).wait()

    asyncio.run(deploy())
    return made


def test_nics_come_go_and_take_over_the_default_route(shell: Shell) -> None:
    assert shell("add-nic", "web", "--network", "back", "--ip", "10.1.0.9").rows[0][:2] == ["web", "Running"]
    refused = shell("remove-nic", "web", "--network", "net", exit=3)
    assert "make another the default first: back" in refused.err
    shell("set-default-nic", "web", "--network", "back")
    shell("remove-nic", "web", "--network", "net")
    nics = shell("--json", "show", "web").json["nics"]
    assert [nic["ip_address"] for nic in nics if nic["state"] == "Reserved"] == ["10.1.0.9"]


def test_groups_shows_rules_as_they_are_written_and_members(shell: Shell) -> None:
    assert shell("groups").out == "system/web  version 1\n  in   tcp:443:0.0.0.0/0\n  VMs  web\n"
    [found] = shell("--json", "groups").json["groups"]
    assert (found["group"]["id"], found["members"]) == ("system/web", ["web"])


def test_rules_replaces_one_direction_and_ends_when_the_hosts_are_told(shell: Shell) -> None:
    said = shell("rules", "system/web", "--allow-in", "tcp:22:0.0.0.0/0", "--allow-in", "all:group:web")
    assert said.out == ("system/web  version 2\n  in   tcp:22:0.0.0.0/0\n  in   all:group:system/web\n  VMs  web\n")
    assert shell("--json", "show", "web").json["rules_told"] == 2
    shell("rules", "system/web", "--allow-out", "udp:53:::/0")
    assert shell("rules", "system/web", "--no-in").out == "system/web  version 4\n  out  udp:53:::/0\n  VMs  web\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("system/web",), 2, "say what to let pass"),
        (("system/web", "--allow-in", "tcp:ssh:0.0.0.0/0"), 2, "'tcp:ssh:0.0.0.0/0' is no rule: `ports` is"),
        (("system/web", "--allow-in", "all:0.0.0.0/0", "--no-in"), 2, "rules, or none; not both"),
        (("system/web", "--allow-in", "gre:0.0.0.0/0"), 3, "a protocol is tcp, udp, icmp, all, not 'gre'"),
        (("web", "--no-in"), 3, "there is no security group 'web'; there are: system/web"),
    ],
)
def test_what_is_no_rule_or_no_group_is_refused(
    shell: Shell, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in shell("rules", *arguments, exit=code).err
    assert "version 1" in shell("groups").out
