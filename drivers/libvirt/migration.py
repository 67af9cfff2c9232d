"""Live migration between two hosts of this driver: libvirt moves the guest from host to host by itself.

The hosts must reach each other by `peer_uri` (or `uri`), both must reach the guest's pools, and its NICs must be ready
there. The filter and the config drive are there before the guest is: the drive lies in a pool that both reach.

Promises: Done if it runs there already. Where the move breaks off, libvirt leaves the guest where it was.
"""

from __future__ import annotations

from functools import partial

import msgspec

from interlock.drivers.libvirt import filters
from interlock.drivers.libvirt.boundary import Connection, lib
from interlock.drivers.libvirt.guests import found_in, running
from interlock.drivers.libvirt.metadata import find
from interlock.drivers.libvirt.places import Places
from interlock.drivers.libvirt.refusals import DONE
from interlock.drivers.libvirt.seal import Seal
from interlock.drivers.libvirt.threads import in_thread
from interlock.schema.commands import MigrateDomain, Outcome

FLAGS = ("LIVE", "PEER2PEER", "PERSIST_DEST", "UNDEFINE_SOURCE", "AUTO_CONVERGE")


async def migrate_domain(places: Places, command: MigrateDomain, seal: Seal) -> Outcome:
    """Move it, with all that is plugged into it."""
    source, target = places.site(command.at), places.site(command.to_host)
    if await target.link.run(lambda there: found_in(find(there, command.vm_id)).power.is_up):
        return DONE
    await source.link.run(lambda here: running(here, command.vm_id, seal, source.id) is None)
    guests = await in_thread(places.registry.guests)
    known = next((each for each in guests if (each.vm, each.host) == (command.vm_id, source.id)), None)
    if known is not None and known.rules is not None:
        has_ip6 = any(":" in ip for ip in known.ips)
        xml = filters.filter_xml(known.vm, known.rules, filters.members_of(guests), has_ip6)
        await target.link.run(partial(filters.define, xml=xml))
    peer = places.options.hosts.get(target.id)
    uri = peer.peer_uri if peer is not None and peer.peer_uri else target.uri
    job = partial(_migrate, vm_id=command.vm_id, seal=seal, host=source.id, uri=uri)
    await source.link.run(job, places.options.copy_within_s)
    if known is not None:
        await in_thread(partial(places.registry.put_guest, msgspec.structs.replace(known, host=target.id)))
        await in_thread(partial(places.registry.forget_guest, known.vm, source.id))
    await source.link.run(partial(filters.remove, vm_id=command.vm_id))
    return DONE


def _migrate(connection: Connection, vm_id: str, seal: Seal, host: str, uri: str) -> None:
    flags = sum(int(getattr(lib(), f"VIR_MIGRATE_{flag}")) for flag in FLAGS)
    running(connection, vm_id, seal, host).migrateToURI3(uri, {}, flags)
