"""add-nic, remove-nic, set-default-nic: one change of the networks of each of several VMs, all at once."""

from __future__ import annotations

import click

from interlock.cli.commands.lifecycle import on_each
from interlock.schema.requests import AddNic, NicRequest


def _added(vm: str, network: str, **addresses: str | None) -> AddNic:
    return AddNic(vm, NicRequest(network, **addresses))


NETWORK = click.option("--network", metavar="N", required=True, help="Which network.")

add_nic = on_each(
    "add-nic",
    "Put VMs on one more network, while they run or not. NAME may be an id.",
    NETWORK,
    click.option("--ip", "ip_address", metavar="IP", help="Its IPv4 address; else the network's guru picks one."),
    click.option("--ip6", "ip6_address", metavar="IP", help="Its IPv6 address."),
    click.option("--mac", "mac_address", metavar="MAC", help="Its MAC address."),
    request_of=_added,
)
remove_nic = on_each(
    "remove-nic",
    "Take VMs off a network that is not their default one, and give back their addresses there. NAME may be an id.",
    NETWORK,
)
set_default_nic = on_each(
    "set-default-nic",
    "Have the default route of VMs go through another network; guests learn it when they start or renew their lease. "
    "NAME may be an id.",
    NETWORK,
)
