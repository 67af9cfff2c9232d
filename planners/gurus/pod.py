"""The guru of basic zones: all VMs are on one wire, but IPv4 addresses belong to the pods, as routers know them.

A NIC that is made gets its MAC, and its IPv6 address if the network has IPv6; its IPv4 address when its host is chosen,
from the ranges of that host's pod. A wish is kept by the engine until then: it says in which pods the VM can run.

Promises: an address is in one of the pod's ranges, free, and no gateway of the network or of any of those ranges, nor a
range's network or broadcast address; it comes with gateway and netmask of its range. The lowest free one is given, or
the wished one exactly. A refusal names the pod, its ranges and what to do. Never takes an address: the commit does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from interlock.planners.gurus.addresses import allocate_without_ipv4
from interlock.planners.gurus.ipv4 import Block, block_of, lowest_free, why_not
from interlock.planners.protocol import Address, AddressView, NoAddress, PodAddress
from interlock.schema.cloud import Network, PodRange
from interlock.schema.requests import NicRequest


class PodBasedGuru:
    """Gives addresses of pods, to any account."""

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        """MAC and IPv6; or why they, or a wished IPv4 address later, cannot be had."""
        return allocate_without_ipv4(network, wish, taken, seed)

    def reserve(
        self, network: Network, ranges: Iterable[PodRange], wished_ip: str | None, taken: AddressView
    ) -> PodAddress | NoAddress:
        """The wished or the lowest free address of the pod, or why there is none."""
        mine = [row for row in ranges if row.network_id == network.id]
        if not mine:
            return NoAddress(
                f"network {network.id} has no addresses in this pod; describe a range there or choose another pod"
            )
        try:
            blocks = _blocks(network, mine)
        except _WrongRange as wrong:
            return NoAddress(str(wrong))
        if wished_ip is None:
            return _lowest(blocks, taken) or _full(network, mine)
        return _wished(wished_ip, network, mine, blocks, taken)


class _WrongRange(Exception):
    """A range is not described in IPv4 addresses; the message says which."""


def _blocks(network: Network, ranges: Sequence[PodRange]) -> list[Block]:
    """Raises `_WrongRange`."""
    gateways = (network.gateway, *(row.gateway for row in ranges))
    blocks = []
    for row in ranges:
        try:
            blocks.append(block_of(row.cidr, row.first_ip, row.last_ip, row.gateway, gateways))
        except ValueError as wrong:
            raise _WrongRange(
                f"range {row.id} of pod {row.pod_id} is described wrongly: {wrong}; correct it or choose another pod"
            ) from wrong
    return blocks


def _lowest(blocks: Iterable[Block], taken: AddressView) -> PodAddress | None:
    """Ranges may overlap and come in any order, so each is asked."""
    found = [(IPv4Address(free), block) for block in blocks if (free := lowest_free(block, taken))]
    if not found:
        return None
    lowest, block = min(found, key=lambda pair: pair[0])
    return _address(str(lowest), block)


def _wished(
    wished_ip: str, network: Network, ranges: Sequence[PodRange], blocks: Sequence[Block], taken: AddressView
) -> PodAddress | NoAddress:
    reasons = []
    for row, block in zip(ranges, blocks, strict=True):
        wrong = why_not(wished_ip, block, taken)
        if wrong is None:
            return _address(wished_ip, block)
        reasons.append(f"in range {row.id} ({row.first_ip} to {row.last_ip}) {wrong}")
    return NoAddress(
        f"pod {ranges[0].pod_id} cannot give a NIC of network {network.id} what it asks for: {', '.join(reasons)}; "
        "place the VM in a pod that has it free, or ask for another address or for none in particular"
    )


def _full(network: Network, ranges: Sequence[PodRange]) -> NoAddress:
    asked = ", ".join(f"{row.id} ({row.first_ip} to {row.last_ip})" for row in ranges)
    return NoAddress(
        f"network {network.id} has no free address in pod {ranges[0].pod_id}, range {asked}; "
        "expunge a VM that holds one, widen the range or choose another pod"
    )


def _address(ip_address: str, block: Block) -> PodAddress:
    return PodAddress(ip_address=ip_address, gateway=block.gateway, netmask=block.netmask)
