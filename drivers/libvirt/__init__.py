"""A driver for real hypervisors: QEMU with KVM or without, by libvirt. docs/libvirt.md says how it is set up.

driver.py       the async face: the `Driver` protocol, and what befalls each command
starting.py     how a guest comes to run: shape, filter, config drive, domain; and rules that change
guests.py       guests looked for, stopped, rebooted, halted
migration.py    guests moved between hosts
plugs.py        disks and NICs of guests that run
volumes.py      volumes made, resized, deleted
images.py       templates and ISOs brought into pools, by their checksum
pools.py        libvirt's pools, and volumes in them
nics.py         NICs on hosts: DHCP entries
filters.py      security groups as nwfilter
seed.py         the config drive's files and image
shape.py        what a domain is made of
domain_xml.py   that as libvirt's XML
metadata.py     what of ours stands in a domain: VM, token, fence
probe.py        whether KVM works on a host
hearing.py      events and domain lists, as reports
places.py       hosts and pools, and the ways to them
link.py         the connection to a host: few jobs at a time, given up on when it hangs, back when it was lost
gate.py         what every call passes on its way to libvirt
threads.py      blocking work in threads
events.py       libvirt's event loop, in a thread
registry.py     what must be remembered: fences, tokens, what libvirt has no place for
refusals.py     libvirt's error codes: what they say about the world
seal.py         token and fence of a command
options.py      what `[drivers.libvirt]` may say
boundary.py     libvirt-python, with types
"""

from interlock.drivers.libvirt.driver import Libvirt
from interlock.drivers.libvirt.volumes import Progress

__all__ = ["Libvirt", "Progress"]
