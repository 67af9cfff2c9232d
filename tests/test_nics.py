"""NICs that come and go: every rule's refusal in words, what a guest has after each operation, and the books.

The property: whatever is asked of a VM's NICs, in whatever order and with whatever failures, each NIC that lives owns
its addresses, none other does, the guest has just those NICs, and one of them is the default.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from interlock import AddNic, CloudDescription, InvalidRequest, NicRequest, Way
from interlock.drivers.simulator import FaultKind
from interlock.drivers.simulator.capabilities import ALL
from interlock.schema.commands import Capability
from interlock.schema.errors import NotAllowed, NotFound, OverLimit
from interlock.schema.records import Nic
from interlock.schema.requests import NICS_MOST
from tests.world import World, world

BACKS = ("b-1", "b-2", "b-3")
CLOUD = """
[[accounts]]
name = "acme"
limits = { public_ips = 1 }
[[accounts]]
name = "other"
[[zones]]
name = "z"
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/24"
default = true
[[zones.networks]]
name = "wide"
cidr = "192.0.2.0/24"
public = true
[[zones.networks]]
name = "wide-2"
cidr = "198.51.100.0/24"
public = true
[[zones.networks]]
name = "off"
cidr = "10.9.0.0/24"
enabled = false
[[zones.networks]]
name = "theirs"
cidr = "10.8.0.0/24"
type = "isolated"
account = "other"
[[zones.pods]]
name = "p"
[[zones.pods.clusters]]
name = "c"
[[zones.pods.clusters.hosts]]
name = "h"
cpu_cores = 8
cpu_mhz = 1000
memory_mib = 8192
[[zones.pods.clusters.pools]]
name = "nfs"
size_mib = 10000
[[zones]]
name = "elsewhere"
[[zones.networks]]
name = "far"
cidr = "10.7.0.0/24"
[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 1024
[[templates]]
name = "t"
size_mib = 100
"""


def described(networks: Sequence[str] = BACKS, more: str = "") -> CloudDescription:
    """The cloud above, with more networks in its first zone, and more text at its end."""
    texts = [
        f'[[zones.networks]]\nname = "{name}"\ncidr = "10.{number}.0.0/24"\n' for number, name in enumerate(networks, 1)
    ]
    return CloudDescription.parse(CLOUD.replace("[[zones.pods]]\n", "".join(texts) + "[[zones.pods]]\n") + more)


async def ready(lab: World, state: str = "Running", **wishes: Any) -> None:
    """Have a VM of account acme in a state."""
    ended = await lab.deploy(account="acme", zone="z", start=state != "Allocated", **wishes)
    assert ended.state == "Succeeded"
    if state == "Stopped":
        assert (await lab.run("stop")).state == "Succeeded"


async def living(lab: World) -> list[Nic]:
    """The VM's NICs that have not ended, by device."""
    return [nic for nic in await lab.engine.nics((await lab.vm()).id) if nic.state != "Deallocated"]


async def assert_books(lab: World) -> None:
    """Each living NIC owns its addresses and nobody else does; the guest has just these NICs; one is the default."""
    await lab.assert_sound()
    nics = await living(lab)
    books = await lab.books()
    assert books.addresses == tuple(sorted(nic.ip_address for nic in nics if nic.ip_address))
    assert books.macs == tuple(sorted(nic.mac_address for nic in nics if nic.mac_address))
    assert [nic.is_default for nic in nics].count(True) == 1
    assert len({nic.network_id for nic in nics}) == len({nic.device for nic in nics}) == len(nics)
    assert {nic.state for nic in nics} == {"Reserved" if (await lab.vm()).state == "Running" else "Allocated"}
    assert {nic.charged_to for nic in nics} <= {None, "acme"}
    public = sum(nic.network_id.startswith("wide") for nic in nics)
    [used] = [place.ips_used for place in (await lab.engine.places())["account"] if place.id == "acme"]  # type: ignore[union-attr]
    assert used == sum(nic.charged_to == "acme" for nic in nics) == public


@pytest.mark.parametrize("state", ["Running", "Stopped", "Allocated"])
async def test_a_nic_comes_and_goes(tmp_path: Path, database_url: str, state: str) -> None:
    async with world(tmp_path, url=database_url, description=described()) as lab:
        await ready(lab, state)
        before = await lab.books()
        added = await lab.run("add-nic", network="b-1", ip_address="10.1.0.77", mac_address="02:00:00:00:00:99")
        assert added.state == "Succeeded"
        [_, nic] = await living(lab)
        assert (nic.network_id, nic.device, nic.is_default) == ("b-1", 1, False)
        assert (nic.ip_address, nic.mac_address) == ("10.1.0.77", "02:00:00:00:00:99")
        await assert_books(lab)
        assert (await lab.run("remove-nic", network="b-1")).state == "Succeeded"
        assert await lab.books() == before
        await assert_books(lab)
        if state != "Running":
            assert (await lab.run("add-nic", network="b-1")).state == "Succeeded"
            assert (await lab.run("start")).state == "Succeeded"
            await assert_books(lab)


async def test_the_default_route_moves_in_one_commit(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described()) as lab:
        await ready(lab)
        await lab.run("add-nic", network="b-1")
        handle = await lab.engine.set_default_nic("web", "b-1")
        await handle.wait()
        assert [(nic.network_id, nic.is_default) for nic in await living(lab)] == [("net", False), ("b-1", True)]
        moved = [row for row in await lab.engine.history((await lab.vm()).id) if row.event == "DefaultChanged"]
        assert [row.changed for row in moved] == [{"is_default": False}, {"is_default": True}]
        assert len({row.at for row in moved}) == 1
        assert (await lab.run("stop")).state == (await lab.run("start")).state == "Succeeded"
        [guest] = (await lab.simulator.world()).domains
        assert [nic.is_default for nic in guest.nics] == [False, True]


REFUSED: list[tuple[str, str, type[InvalidRequest], str]] = [
    ("add-nic", "none", NotFound, "there is no network 'none'"),
    ("add-nic", "net", InvalidRequest, "VM web is on network net already"),
    ("add-nic", "far", InvalidRequest, "network far is in zone elsewhere, VM web in z"),
    ("add-nic", "off", InvalidRequest, "network off is disabled"),
    ("add-nic", "theirs", InvalidRequest, "network theirs is not for account acme"),
    ("remove-nic", "b-1", NotFound, "VM web is not on network b-1; it is on: net, b-2"),
    ("remove-nic", "net", InvalidRequest, "network net is the default one of VM web; make another .* first: b-2"),
    ("set-default-nic", "b-1", NotFound, "VM web is not on network b-1"),
    ("set-default-nic", "net", InvalidRequest, "network net is the default one of VM web already"),
]


@pytest.mark.parametrize(("kind", "network", "error", "words"), REFUSED)
async def test_a_refusal_names_what_is_wrong_and_writes_nothing(
    tmp_path: Path, kind: str, network: str, error: type[InvalidRequest], words: str
) -> None:
    async with world(tmp_path, description=described()) as lab:
        await ready(lab)
        await lab.run("add-nic", network="b-2")
        history = await lab.engine.history((await lab.vm()).id)
        with pytest.raises(error, match=words):
            await lab.run(kind, network=network)
        assert await lab.engine.history((await lab.vm()).id) == history


async def test_the_only_nic_stays(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await ready(lab)
        with pytest.raises(InvalidRequest, match="network net is the default one of VM web; it is its only one"):
            await lab.run("remove-nic", network="net")


async def test_public_addresses_count_against_the_limit_until_they_are_given_back(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await ready(lab)
        assert (await lab.run("add-nic", network="wide")).state == "Succeeded"
        with pytest.raises(
            OverLimit, match="cannot be put on network wide-2: account acme may have 1 public addresses"
        ):
            await lab.run("add-nic", network="wide-2")
        assert (await lab.run("remove-nic", network="wide")).state == "Succeeded"
        assert (await lab.run("add-nic", network="wide-2")).state == "Succeeded"
        await assert_books(lab)


async def test_a_vm_has_no_more_nics_than_slots(tmp_path: Path) -> None:
    names = [f"n-{number}" for number in range(NICS_MOST + 1)]
    async with world(tmp_path, description=described(names)) as lab:
        nics = tuple(map(NicRequest, names[:NICS_MOST]))
        await ready(lab, "Allocated", nics=nics)
        with pytest.raises(InvalidRequest, match="VM web has 32 NICs, the most a VM may have; remove one first"):
            await lab.run("add-nic", network=names[-1])
        assert (await lab.run("remove-nic", network="n-3")).state == "Succeeded"
        assert (await lab.run("add-nic", network=names[-1])).state == "Succeeded"
        assert max(nic.device for nic in await living(lab)) == NICS_MOST - 1


async def test_a_running_guest_whose_hypervisor_cannot_is_to_be_stopped_first(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await ready(lab)
        lab.engine._drivers.able["simulator"] = ALL - {Capability.HOT_PLUG}
        for kind in ("add-nic", "remove-nic"):
            if kind == "remove-nic":
                await lab.run("stop")
                await lab.run("add-nic", network="b-1")
                await lab.run("start")
            with pytest.raises(InvalidRequest, match=r"runs on host h, whose hypervisor cannot .* stop it first"):
                await lab.run(kind, network="b-1")


async def test_who_is_not_the_owner_changes_no_nics(tmp_path: Path) -> None:
    async with world(tmp_path, description=described()) as lab:
        await ready(lab)
        vm = (await lab.vm()).id
        with pytest.raises(NotAllowed, match="account other may not act for account acme"):
            await lab.engine.submit(AddNic(vm, NicRequest("b-1")), caller="other")
        await (await lab.engine.submit(AddNic(vm, NicRequest("b-1")), caller="acme")).wait()


async def test_of_two_that_ask_for_one_address_one_gets_it(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url, description=described()) as lab:
        for name in ("one", "two"):
            await lab.deploy(name, zone="z")
        wishes: dict[str, Any] = {"network": "b-1", "ip_address": "10.1.0.9"}
        answers = await asyncio.gather(
            *(lab.run("add-nic", name, **wishes) for name in ("one", "two")), return_exceptions=True
        )
        [refused] = [each for each in answers if isinstance(each, InvalidRequest)]
        assert "10.1.0.9" in str(refused)
        assert (await lab.books()).addresses.count("10.1.0.9") == 1
        await lab.assert_sound()


async def test_where_names_are_distinct_in_a_network_the_nic_owns_the_name_there(tmp_path: Path) -> None:
    cloud = described(more='[settings]\n"vm.distinct.hostname.scope" = "network"\n')
    async with world(tmp_path, description=cloud) as lab:
        await ready(lab)
        await lab.run("add-nic", network="b-1")
        assert (await living(lab))[1].host_name == "web"
        await lab.run("remove-nic", network="b-1")
        nics = await lab.engine.nics((await lab.vm()).id)
        assert [nic.host_name for nic in nics if nic.network_id == "b-1"] == [None]


COMMANDS = ("PrepareNic", "PlugNic", "UnplugNic", "ReleaseNic", "StartDomain", "StopDomain")
Do = tuple[str, str | None]
nic_changes = st.tuples(
    st.sampled_from(["add-nic", "remove-nic", "set-default-nic"]), st.sampled_from(["net", "wide", "wide-2", *BACKS])
)
lives = st.tuples(st.sampled_from(["stop", "start"]), st.none())
faults = st.none() | st.tuples(st.sampled_from(COMMANDS), st.sampled_from([FaultKind.REFUSE_VM, FaultKind.LOST_REPLY]))


@settings(max_examples=20, phases=(Phase.generate,))
@given(
    st.lists(st.tuples(nic_changes | nic_changes | lives, faults), min_size=1, max_size=12),
    st.sampled_from(["Running", "Stopped", "Allocated"]),
)
def test_whatever_is_asked_of_nics_the_books_are_right(steps: list[tuple[Do, Any]], state: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), steps, state))


async def _live(folder: Path, steps: list[tuple[Do, Any]], state: str) -> None:
    async with world(folder, description=described()) as lab:
        await ready(lab, state)
        for (kind, network), fault in steps:
            order = await lab.order(fault[0], fault[1]) if fault else None
            try:
                ended = await lab.run(kind, **({"network": network} if network else {}))
            except InvalidRequest:
                event("refused")
                continue
            event(f"{kind} {ended.state}")
            while ended.state == "Stuck":  # an earlier fault hit the undo
                ended = await (await lab.engine.resolve(ended.id, Way.UNDO, "well again")).ended()
            if order is not None and await lab.simulator.fired(order):
                event(f"{kind} with {fault[0]} {fault[1]}")
            assert ended.state in ("Succeeded", "Failed")
            await assert_books(lab)
