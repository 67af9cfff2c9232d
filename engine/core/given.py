"""What a guru gives a NIC, checked: a guru may be anybody's, and its answer goes into records and the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from interlock.planners.protocol import Address, AddressView, NetworkGuru, NoAddress, PodAddress, PodGuru
from interlock.schema.cloud import Network, PodRange
from interlock.schema.errors import PluginError
from interlock.schema.records import Nic, Vm
from interlock.schema.requests import NicRequest
from interlock.schema.words import clean

MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def given(
    guru: NetworkGuru, network: Network, wish: NicRequest, taken: AddressView, vm: Vm, nic_id: str
) -> Address | NoAddress:
    """The guru's answer.

    Raises:
        PluginError: it raised, or gave what cannot be an address of this network.
    """
    try:
        answer = guru.allocate(network, wish, taken, vm.account_id, nic_id)
        wrong = _wrong(answer, network, taken)
    except Exception as error:
        wrong = clean(f"it raised {error!r}")
    if wrong:
        raise PluginError(f"guru {network.guru} has a bug: in network {network.id} {wrong}")
    return answer


def _wrong(answer: object, network: Network, taken: AddressView) -> str | None:
    if isinstance(answer, NoAddress):
        return None
    if not isinstance(answer, Address):
        return f"it answered {type(answer).__name__}, not Address or NoAddress"
    if answer.ip_address is not None and IPv4Address(answer.ip_address) not in IPv4Network(network.cidr):
        return f"it gave {answer.ip_address}, which is not in {network.cidr}"
    if answer.ip_address is not None and taken.is_taken(answer.ip_address):
        return f"it gave {answer.ip_address}, which is taken"
    return None if MAC.fullmatch(answer.mac_address) else f"it gave the MAC address {answer.mac_address!r}"


def reserved(
    guru: PodGuru, network: Network, ranges: Iterable[PodRange], nic: Nic, taken: AddressView
) -> PodAddress | NoAddress:
    """The guru's answer."""
    return guru.reserve(network, ranges, nic.wished_ip, taken)
