"""NICs on hosts: the DHCP entry that gives a NIC its fixed address, and what it is plugged into.

A NIC on a libvirt network is ready when the network has an entry with its MAC and IPv4 address; one on a network that
libvirt itself has no IPv4 address in, or on a bridge, needs nothing: it learns its addresses from the config drive.
IPv6 addresses come from there always.

Promises: preparing takes an entry away that has the same address or MAC: addresses are unique in Interlock, so it is
what is left of a NIC that had it before. Where ReleaseNic finds the NIC is known from the registry, which is written
before libvirt is asked.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial

from interlock.drivers.libvirt.boundary import Connection, Network, lib
from interlock.drivers.libvirt.options import NetworkOptions, Options
from interlock.drivers.libvirt.places import Places, missing
from interlock.drivers.libvirt.refusals import DONE, refused
from interlock.drivers.libvirt.shape import NicShape, alias_of
from interlock.drivers.libvirt.threads import in_thread
from interlock.schema.commands import NicSpec, Outcome, PrepareNic, ReleaseNic, Scope


async def prepare_nic(places: Places, command: PrepareNic) -> Outcome:
    """Make it ready; one that is ready already takes its new addresses."""
    site, nic = places.site(command.at), command.nic
    network = _network(places.options, nic)
    await in_thread(partial(places.registry.put_nic, command.vm_id, site.id, nic))
    if network.network is not None:
        await site.link.run(partial(_enter, name=network.network, nic=nic))
    return DONE


async def release_nic(places: Places, command: ReleaseNic) -> Outcome:
    """Forget it on this host; a guest that has it plugged keeps it."""
    nic = await in_thread(partial(places.registry.nic, command.nic_id, command.at))
    if nic is None:
        return DONE
    network = places.options.networks.get(nic.network_id)
    if network is not None and network.network is not None:
        await places.site(command.at).link.run(partial(_leave, name=network.network, nic=nic))
    await in_thread(partial(places.registry.forget_nic, command.nic_id, command.at))
    return DONE


def _network(options: Options, nic: NicSpec) -> NetworkOptions:
    if nic.network_id not in options.networks:
        raise refused(
            Scope.HOST,
            f"network {nic.network_id} is none of libvirt's; name one in [drivers.libvirt.networks.{nic.network_id}]",
        )
    return options.networks[nic.network_id]


def shape_of(options: Options, nic: NicSpec, filter: str | None = None) -> NicShape:
    """The NIC in a domain."""
    network = _network(options, nic)
    ips = tuple(filter_ip for filter_ip in (nic.ip_address, nic.ip6_address) if filter_ip) if filter else ()
    return NicShape(
        alias=alias_of(nic.id),
        mac=nic.mac_address,
        network=network.network,
        bridge=network.bridge,
        filter=filter,
        ips=ips,
    )


# Jobs


def _lookup(connection: Connection, name: str) -> Network:
    try:
        network = connection.networkLookupByName(name)
    except Exception as error:
        if missing(error, "NETWORK"):
            raise refused(Scope.HOST, f"there is no libvirt network {name}; define it, or name another") from error
        raise
    if not network.isActive():
        raise refused(Scope.HOST, f"libvirt network {name} is not active; start it (virsh net-start {name})")
    return network


def _entries(network: Network) -> list[tuple[str, str]] | None:
    """MAC and IPv4 address of each entry; None: libvirt has no address there, and so serves none."""
    blocks = [ip for ip in ET.fromstring(network.XMLDesc(0)).findall("ip") if ip.get("family", "ipv4") == "ipv4"]
    if not blocks:
        return None
    return [(host.get("mac", "").lower(), host.get("ip", "")) for ip in blocks for host in ip.findall("dhcp/host")]


def _entry(mac: str, ip: str) -> str:
    return ET.tostring(ET.Element("host", mac=mac, ip=ip), encoding="unicode")


def _change(network: Network, command: str, mac: str, ip: str) -> None:
    where = lib().VIR_NETWORK_UPDATE_AFFECT_LIVE
    if network.isPersistent():
        where |= lib().VIR_NETWORK_UPDATE_AFFECT_CONFIG
    number = getattr(lib(), f"VIR_NETWORK_UPDATE_COMMAND_{command}")
    network.update(number, lib().VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, _entry(mac, ip), where)


def _enter(connection: Connection, name: str, nic: NicSpec) -> None:
    network = _lookup(connection, name)
    entries, wanted = _entries(network), (nic.mac_address.lower(), nic.ip_address)
    if entries is None or wanted in entries:
        return
    for mac, ip in entries:
        if mac == wanted[0] or ip == wanted[1]:
            _change(network, "DELETE", mac, ip)
    _change(network, "ADD_LAST", *wanted)


def _leave(connection: Connection, name: str, nic: NicSpec) -> None:
    try:
        network = connection.networkLookupByName(name)
    except Exception as error:
        if missing(error, "NETWORK"):
            return
        raise
    gone = (nic.mac_address.lower(), nic.ip_address)
    if network.isActive() and gone in (_entries(network) or ()):
        _change(network, "DELETE", *gone)


def require_ready(connection: Connection, options: Options, nics: tuple[NicSpec, ...], host: str) -> None:
    """See that each is ready.

    Raises:
        Refuse: one is not.
    """
    for nic in nics:
        network = _network(options, nic)
        if network.network is None:
            continue
        entries = _entries(_lookup(connection, network.network))
        if entries is not None and (nic.mac_address.lower(), nic.ip_address) not in entries:
            raise refused(
                Scope.HOST, f"NIC {nic.id} ({nic.ip_address}) is not ready on host {host}; prepare it there first"
            )
