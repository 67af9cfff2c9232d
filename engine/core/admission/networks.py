"""Networks: which a VM is on, and which of them has its default route.

Basic zones have one guest network for all. Advanced ones have many: those that are named, or one default network: the
account's own, else its domain's, else everybody's; in a zone with security groups first those that filter. `AddNic`
and `AssignVM` meet the same rules. Addresses are the gurus' business.
"""

from __future__ import annotations

from interlock.engine.core.access import is_for
from interlock.engine.core.admission.lookup import existing, must_be_enabled
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Network, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed
from interlock.schema.requests import DeployVM, NicRequest

SECURITY_GROUP, USER_DATA = "SecurityGroup", "UserData"
BASICS = frozenset({"Dhcp", "Dns", USER_DATA})
"""What a network offers that does not say what: enough to boot a guest."""
BASIC = "basic"
"""The kind of zone with one network."""


def offers(network: Network, service: str) -> bool:
    """Whether the network has a provider for a service."""
    if not network.services:
        return service in BASICS
    return bool(network.services.get(service))


def nics_of(cloud: Cloud, request: DeployVM, account: Account, zone: Zone) -> tuple[tuple[Network, NicRequest], ...]:
    """The networks that are named, or the zone's default one; each may be used, and one of them is the default."""
    nics = request.nics or (NicRequest(default_network(cloud, zone, account).id),)
    found = usable(cloud, nics, account, zone)
    one_must_be_default(request.default_nic, nics)
    return found


def usable(
    cloud: Cloud, nics: tuple[NicRequest, ...], account: Account, zone: Zone
) -> tuple[tuple[Network, NicRequest], ...]:
    """The networks of these NICs; each is named once, and may be used."""
    networks_must_differ(nics)
    if zone.kind == BASIC:
        must_be_the_guest_network(cloud, nics, zone, account)
    return tuple((network_of(cloud, nic.network, account, zone), nic) for nic in nics)


def network_of(cloud: Cloud, network_id: str, account: Account, zone: Zone) -> Network:
    """The network exists, is in the zone, enabled, and the account's to use."""
    network = existing(cloud, Network, network_id)
    network_must_be_in(network, zone)
    must_be_enabled(network)
    network_must_be_for(cloud, network, account)
    return network


def network_must_be_in(network: Network, zone: Zone) -> None:
    """The network is in the VM's zone."""
    if network.zone_id != zone.id:
        raise InvalidRequest(
            f"network {network.id} is in zone {network.zone_id}, not {zone.id}; choose another, or that zone"
        )


def network_must_be_for(cloud: Cloud, network: Network, account: Account) -> None:
    """The network is the account's, its domain's or one's above, or everybody's."""
    if not is_for(cloud, network, account.id):
        owner = f"account {network.account_id}" if network.account_id else f"domain {network.domain_id}"
        raise NotAllowed(f"network {network.id} belongs to {owner}, not account {account.id}; choose another")


def networks_must_differ(nics: tuple[NicRequest, ...]) -> None:
    """A VM is on each network once."""
    named = [nic.network for nic in nics]
    if twice := [network for network in dict.fromkeys(named) if named.count(network) > 1]:
        raise InvalidRequest(f"each network may be named once; leave out the other {', '.join(twice)}")


def must_be_the_guest_network(cloud: Cloud, nics: tuple[NicRequest, ...], zone: Zone, account: Account) -> None:
    """In a basic zone all VMs are on its guest network; it may be named, so that an address can be."""
    guest = default_network(cloud, zone, account)
    others = [nic.network for nic in nics if nic.network != guest.id]
    if others:
        raise InvalidRequest(
            f"zone {zone.id} is basic: its VMs are on network {guest.id} alone, not {', '.join(others)}; "
            f"leave `nics` out, or name {guest.id}"
        )


def one_must_be_default(default_nic: int, nics: tuple[NicRequest, ...]) -> None:
    """The default NIC is one of the VM's."""
    if default_nic >= len(nics):
        raise InvalidRequest(
            f"default_nic is {default_nic}, and the VM has {len(nics)} NICs, counted from 0; "
            f"choose 0 to {len(nics) - 1}"
        )


def default_network(cloud: Cloud, zone: Zone, account: Account) -> Network:
    """The zone has a default network for the account."""
    fitting = (
        network
        for network in cloud.all(Network)
        if network.zone_id == zone.id and network.is_default and network.enabled and is_for(cloud, network, account.id)
    )
    found = min(fitting, key=lambda network: _rank(network, zone), default=None)
    if found is None:
        raise InvalidRequest(
            f"zone {zone.id} has no enabled default network for account {account.id}; name one in `nics`"
        )
    return found


def _rank(network: Network, zone: Zone) -> tuple[bool, bool, bool, str]:
    """Lower is taken first."""
    unfiltered = zone.security_groups and not offers(network, SECURITY_GROUP)
    return unfiltered, network.account_id is None, network.domain_id is None, network.id
