"""How a NIC gets its addresses: the wished or the lowest free IPv4, an IPv6 where the network has it, and a MAC.

Promises: each address in a wish is given exactly or the NIC is refused; a refusal names the network and says what to
do; `ipv4`, `ipv6` and `mac` promise the rest. Never decides who may use the network: the gurus do. Never takes an
address: the commit does, and its unique indexes tell two apart that were given the same.
"""

from __future__ import annotations

from interlock.planners.gurus.ipv4 import Block, block_of, lowest_free, net_of, outside, why_not
from interlock.planners.gurus.ipv6 import ip6_of
from interlock.planners.gurus.mac import mac_of
from interlock.planners.protocol import Address, AddressView, NoAddress
from interlock.schema.cloud import Network
from interlock.schema.requests import NicRequest


def allocate(network: Network, wish: NicRequest, taken: AddressView, seed: str) -> Address | NoAddress:
    """All addresses of a NIC; or why there are none."""
    if not network.enabled:
        return _disabled(network)
    try:
        block = block_of(network.cidr, network.first_ip, network.last_ip, network.gateway)
    except ValueError as wrong:
        return _described_wrongly(network, wrong)
    found = _ip_of(network, wish.ip_address, block, taken)
    return found if isinstance(found, NoAddress) else _with_rest(network, wish, taken, seed, found, block)


def allocate_without_ipv4(network: Network, wish: NicRequest, taken: AddressView, seed: str) -> Address | NoAddress:
    """All but the IPv4 address, which is given later; one that the network can never give is refused now."""
    if not network.enabled:
        return _disabled(network)
    try:
        wrong = None if wish.ip_address is None else outside(wish.ip_address, net_of(network.cidr))
    except ValueError as error:
        return _described_wrongly(network, error)
    if wrong:
        return NoAddress(f"{wrong}; ask network {network.id} for one in {network.cidr}, or for none in particular")
    return _with_rest(network, wish, taken, seed, None, None)


def _with_rest(
    network: Network, wish: NicRequest, taken: AddressView, seed: str, ip: str | None, block: Block | None
) -> Address | NoAddress:
    """The IPv4 address, its block's gateway and netmask, and with them MAC and IPv6."""
    mac = mac_of(network.id, wish.mac_address, seed)
    if isinstance(mac, NoAddress):
        return mac
    ip6 = ip6_of(network, wish.ip6_address, mac, taken)
    if isinstance(ip6, NoAddress):
        return ip6
    gateway, netmask = (block.gateway, block.netmask) if block else (None, None)
    return Address(ip_address=ip, ip6_address=ip6, mac_address=mac, gateway=gateway, netmask=netmask)


def _ip_of(network: Network, wished: str | None, block: Block, taken: AddressView) -> str | NoAddress:
    if not block.spans:
        return _described_wrongly(network, f"{block.cidr} has nothing to give between {block.first} and {block.last}")
    if wished is None:
        return lowest_free(block, taken) or NoAddress(
            f"network {network.id} has no free address between {block.first} and {block.last}; "
            "expunge a VM that holds one, widen the range or choose another network"
        )
    wrong = why_not(wished, block, taken)
    if wrong is None:
        return wished
    return NoAddress(
        f"{wrong}; ask network {network.id} for a free address between {block.first} "
        f"and {block.last}, or for none in particular"
    )


def _disabled(network: Network) -> NoAddress:
    return NoAddress(f"network {network.id} is disabled; enable it or choose another")


def _described_wrongly(network: Network, wrong: object) -> NoAddress:
    return NoAddress(f"network {network.id} is described wrongly: {wrong}; correct it or choose another")
