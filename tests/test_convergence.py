"""Rules of security groups under VMs that run: whatever happens in between, all hosts are told, and no record claims
more than was told.

What the hypervisor filters by is read from the simulator's world. Every change lets in one port that says which change
it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from interlock import CloudDescription, Engine, FirewallRule, InvalidRequest, NicRequest, Way
from interlock.drivers.simulator import FaultKind, Simulator
from interlock.embed.rules import write_rules
from interlock.engine.orchestrator import convergence
from interlock.schema.cloud import Host, SecurityGroup, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Outcome
from interlock.schema.errors import NotAllowed, NotFound
from interlock.schema.records import Operation
from tests.world import CLOUD, World, cloud, world

WEB = "system/web"
FIRST_PORT = 443
"""What the cloud's description lets in."""


def port(number: int, **more: Any) -> FirewallRule:
    """Let one port in."""
    return FirewallRule(protocol="tcp", first_port=number, last_port=number, **{"cidr": "0.0.0.0/0", **more})


async def deploy(lab: World, count: int) -> None:
    """Have VMs run that are in the group."""
    handles = [await lab.engine.deploy(lab.request(f"vm-{number}", security_groups=(WEB,))) for number in range(count)]
    for handle in handles:
        await handle.wait()


async def ports(lab: World) -> list[int | None]:
    """What each guest's host lets in."""
    return [rule.first_port for guest in (await lab.simulator.world()).domains for rule in _ingress(guest.rules)]


def _ingress(rules: Any) -> tuple[FirewallRule, ...]:
    assert rules is not None, "a guest in a group is filtered"
    [group] = rules
    ingress: tuple[FirewallRule, ...] = group.ingress
    return ingress


async def securing(lab: World) -> list[Operation]:
    """All operations that told a host."""
    return [each for vm in await lab.vms() for each in await lab.engine.operations(vm.id) if each.kind == "secure"]


async def assert_told(lab: World, number: int, count: int) -> None:
    """All guests are filtered by the change that lets this port in, and the records say so."""
    assert await ports(lab) == [number] * count
    versions = {group.id: group.version for group in await groups(lab.engine)}
    assert {vm.rules_told for vm in await lab.vms() if vm.host_id} == {versions[WEB]}


async def groups(engine: Engine) -> list[SecurityGroup]:
    """The security groups as recorded."""
    return [each for each in (await engine.places())["security_group"] if isinstance(each, SecurityGroup)]


async def test_changed_rules_reach_the_host_of_every_vm_that_runs(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=3)) as lab:
        await deploy(lab, 20)
        changed = await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        await assert_told(lab, 22, 20)
        assert changed.version > 1
        done = await securing(lab)
        assert {(each.actor, each.state) for each in done} == {("interlock", "Succeeded")}
        assert len(done) == 20
        await lab.assert_sound()


async def test_only_members_are_told_and_only_of_what_has_changed(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await deploy(lab, 1)
        await lab.deploy("outside")
        before = await groups(lab.engine)
        [web] = [group for group in before if group.id == WEB]
        await lab.engine.set_rules(WEB, ingress=web.ingress)
        await lab.engine.idle()
        assert await groups(lab.engine) == before
        assert await securing(lab) == []
        await lab.engine.set_rules(WEB, egress=[port(53)])
        await lab.engine.idle()
        assert len(await securing(lab)) == 1


async def test_a_description_that_is_loaded_again_with_other_rules_tells_them(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await deploy(lab, 3)
        await lab.engine.load(with_port(8443))
        await lab.engine.idle()
        await assert_told(lab, 8443, 3)


def with_port(number: int) -> CloudDescription:
    """The usual cloud, whose group lets in another port."""
    text = CLOUD.format(hosts=2, memory=8192, space=100_000)
    return CloudDescription.parse(text.replace('ports = "443"', f'ports = "{number}"'))


async def test_what_a_kill_left_behind_is_told_at_the_next_open(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=cloud(hosts=3)) as lab:
        await deploy(lab, 20)
        # As a kill leaves it that comes right after the commit: the rules are written, and nobody was told.
        orchestrator = lab.engine._orchestrator
        await write_rules(orchestrator.store, orchestrator.commits.inventory, WEB, [port(22)], None, None)
        assert set(await ports(lab)) == {FIRST_PORT}
    async with world(tmp_path, url=database_url) as lab:
        await lab.engine.idle()
        await assert_told(lab, 22, 20)


@pytest.mark.parametrize("told", [0, 1, 7, 19])
async def test_closing_in_the_middle_is_only_a_pause(tmp_path: Path, told: int) -> None:
    async with world(tmp_path, description=cloud(hosts=3), latency=0.002) as lab:
        await deploy(lab, 20)
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        while (await ports(lab)).count(22) < told:
            await asyncio.sleep(0)
    async with world(tmp_path) as lab:
        await lab.engine.idle()
        await assert_told(lab, 22, 20)
        await lab.assert_sound()


async def test_every_change_counts_however_fast_they_follow_each_other(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, latency=0.002) as lab:
        await deploy(lab, 10)
        numbers = range(1000, 1010)
        changed = [await lab.engine.set_rules(WEB, ingress=[port(number)]) for number in numbers]
        await lab.engine.idle()
        assert [group.version for group in changed] == sorted({group.version for group in changed})
        await assert_told(lab, 1009, 10)


async def test_changes_at_once_get_versions_of_their_own(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await deploy(lab, 2)
        changes = (lab.engine.set_rules(WEB, ingress=[port(number)]) for number in range(2000, 2010))
        changed = await asyncio.gather(*changes)
        assert len({group.version for group in changed}) == 10
        [last] = max(changed, key=lambda group: group.version).ingress
        await lab.engine.idle()
        await assert_told(lab, last.first_port or 0, 2)


class Gate:
    """A driver that keeps commands of some kinds waiting until it is opened."""

    HELD = ("RebootDomain", "StopDomain", "PlugNic")

    def __init__(self, simulator: Simulator) -> None:
        self.inner, self.opened, self.waiting = simulator, asyncio.Event(), 0

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        await self.inner.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        if type(command).__name__ in self.HELD:
            self.waiting += 1
            await self.opened.wait()
        return await self.inner.perform(command, token=token, fence=fence)

    async def close(self) -> None:
        """The test closes the simulator."""


@pytest.mark.parametrize("kind", ["reboot", "stop", "add-nic"])
async def test_busy_vms_are_told_when_their_operation_ends(tmp_path: Path, database_url: str, kind: str) -> None:
    async with world(tmp_path, url=database_url, wrap=Gate) as lab:
        await deploy(lab, 3)
        gate = lab.engine._drivers._own["simulator"]
        assert isinstance(gate, Gate)
        wishes = {"network": "back"} if kind == "add-nic" else {}
        for number in (0, 1):
            await getattr(lab.engine, kind.replace("-", "_"))(f"vm-{number}", **wishes)
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        while gate.waiting < 2 or (await ports(lab)).count(22) < 1:
            await asyncio.sleep(0.001)
        assert sorted(await ports(lab), key=str) == [22, FIRST_PORT, FIRST_PORT]
        gate.opened.set()
        await lab.engine.idle()
        await assert_told(lab, 22, 1 if kind == "stop" else 3)


async def test_vms_that_are_starting_are_told(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, latency=0.005) as lab:
        for number in range(8):
            await lab.engine.deploy(lab.request(f"vm-{number}", security_groups=(WEB,)))
            await lab.engine.set_rules(WEB, ingress=[port(3000 + number)])
        await lab.engine.idle()
        await assert_told(lab, 3007, 8)


async def test_a_host_that_refuses_for_a_while_is_told_when_it_is_well_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convergence, "AGAIN_FIRST", 0.01)
    async with world(tmp_path) as lab:
        await deploy(lab, 3)
        fault = await lab.order("ApplyRules", FaultKind.TRANSIENT, times=30)
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        async with asyncio.timeout(60):
            while await ports(lab) != [22] * 3:
                await asyncio.sleep(0.01)
            await lab.engine.idle()
        assert await lab.simulator.fired(fault) == 30
        await assert_told(lab, 22, 3)
        assert {each.state for each in await securing(lab)} == {"Failed", "Succeeded"}


@pytest.mark.parametrize("fault", [FaultKind.REFUSE, FaultKind.REFUSE_VM])
async def test_a_host_that_refuses_for_good_is_not_waited_for_and_not_forgotten(
    tmp_path: Path, fault: FaultKind
) -> None:
    async with world(tmp_path) as lab:
        await deploy(lab, 1)
        number = await lab.order("ApplyRules", fault)
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        assert await lab.simulator.fired(number) == 1
        assert await ports(lab) == [FIRST_PORT]
        assert (await lab.vm("vm-0")).rules_told == 1
    async with world(tmp_path) as lab:
        await lab.engine.idle()
        await assert_told(lab, 22, 1)


async def test_a_stuck_vm_is_told_when_a_person_has_resolved_it(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await deploy(lab, 1)
        await lab.order("StopDomain", FaultKind.REFUSE_VM)
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        stuck = await lab.run("stop", "vm-0")
        assert stuck.state == "Stuck"
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        assert await ports(lab) == [FIRST_PORT]
        assert lab.engine._orchestrator.convergence._later is None, "nothing runs for what waits for a person"
        await (await lab.engine.resolve(stuck.id, Way.UNDO, "well again")).ended()
        await lab.engine.idle()
        await assert_told(lab, 22, 1)


async def test_rules_for_members_of_a_group_are_handed_over_by_its_name(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await deploy(lab, 1)
        await lab.engine.set_rules(WEB, ingress=[port(5432, cidr=None, group=WEB)])
        await lab.engine.idle()
        [guest] = (await lab.simulator.world()).domains
        [rule] = _ingress(guest.rules)
        assert (rule.first_port, rule.cidr, rule.group) == (5432, None, WEB)


async def test_an_engine_that_does_not_know_the_newest_rules_never_tells_older_ones(
    tmp_path: Path, database_url: str
) -> None:
    async with (
        world(tmp_path, url=database_url) as lab,
        Engine.open(database_url, drivers={"simulator": lab.simulator}) as other,
    ):
        await deploy(lab, 1)
        if other._store._listening is not None:  # it hears nothing, as in a partition
            await other._store._listening.close()
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        stale = other._orchestrator.commits.inventory.find(SecurityGroup, WEB)
        assert stale is not None
        assert stale.version == 1, "the other engine knows already, and nothing is proved"
        await (await other.secure("vm-0")).wait()
        await assert_told(lab, 22, 1)


async def test_vms_of_another_engine_are_told_by_the_one_that_changes_the_rules(
    tmp_path: Path, database_url: str
) -> None:
    async with (
        world(tmp_path, url=database_url) as lab,
        Engine.open(database_url, drivers={"simulator": lab.simulator}) as other,
    ):
        await (await other.deploy(lab.request("vm-0", security_groups=(WEB,)))).wait()
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        await assert_told(lab, 22, 1)


async def test_with_nobody_behind_nothing_runs(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await deploy(lab, 2)
        await lab.engine.set_rules(WEB, ingress=[port(22)])
        await lab.engine.idle()
        seen = lab.engine._orchestrator.convergence
        assert (seen.under_way, seen._later) == ((), None)


REFUSED: list[tuple[FirewallRule, str]] = [
    (FirewallRule(protocol="gre", cidr="0.0.0.0/0"), "ingress rule 1: a protocol is tcp, udp, icmp, all, not 'gre'"),
    (FirewallRule(protocol="tcp", cidr="0.0.0.0/0"), '`ports` is "22" or'),
    (FirewallRule(protocol="tcp", first_port=2, last_port=1, cidr="0.0.0.0/0"), "lower one first, not '2-1'"),
    (port(0), "from 1 to 65535"),
    (port(65536), "from 1 to 65535"),
    (FirewallRule(protocol="icmp", first_port=1, last_port=1, cidr="0.0.0.0/0"), "icmp has no `ports`"),
    (FirewallRule(protocol="icmp", icmp_code=0, cidr="0.0.0.0/0"), "give that, too"),
    (FirewallRule(protocol="icmp", icmp_type=256, cidr="0.0.0.0/0"), "0 to 255, not 256"),
    (FirewallRule(protocol="all", icmp_type=8, cidr="0.0.0.0/0"), "all has no `type`"),
    (FirewallRule(protocol="all", cidr="10.0.0.1/8"), "has host bits set"),
    (FirewallRule(protocol="all"), "give one of the two"),
    (FirewallRule(protocol="all", cidr="0.0.0.0/0", group=WEB), "give one of the two"),
    (FirewallRule(protocol="all", group="system/none"), "group system/none, which is not there"),
]


@pytest.mark.parametrize(("rule", "words"), REFUSED)
async def test_a_rule_that_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, rule: FirewallRule, words: str
) -> None:
    async with world(tmp_path) as lab:
        before = await groups(lab.engine)
        with pytest.raises(InvalidRequest, match=words.replace("(", r"\(")) as refused:
            await lab.engine.set_rules(WEB, ingress=[rule])
        assert WEB in str(refused.value)
        assert await groups(lab.engine) == before


async def test_rules_are_changed_by_those_whose_group_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        with pytest.raises(NotAllowed, match="may not act for account system"):
            await lab.engine.set_rules(WEB, ingress=[], caller="nobody")
        with pytest.raises(NotFound, match="there is no security group 'web'; there are: system/web"):
            await lab.engine.set_rules("web", ingress=[])


async def test_a_vm_in_no_group_has_nothing_to_be_told(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy(nics=(NicRequest("back"),))
        with pytest.raises(InvalidRequest, match="VM web is in no security group"):
            await lab.run("secure")
        await lab.run("stop")
        with pytest.raises(InvalidRequest, match="it is Stopped, not Running"):
            await lab.run("secure")


async def test_two_engines_that_make_one_default_group_leave_vms_that_can_be_told(tmp_path: Path) -> None:
    """One of them knows of newer rules than the other; the row that is kept is the other's."""
    async with world(tmp_path) as lab, world(tmp_path) as other:
        await lab.engine.set_rules(WEB, ingress=[port(80)])
        await other.deploy("others")
        await lab.deploy("ours")
    async with world(tmp_path) as lab:
        assert (await lab.run("migrate", "ours")).state == "Succeeded"
        assert (await lab.run("secure", "ours")).state == "Succeeded"
        await lab.assert_sound()
