"""The cloud and the network in memory that our tests share with the conformance kits, under one name."""

from interlock.testing.kits.clouds import (
    ZONE,
    FakeCloud,
    FakeShortlist,
    IndexedCloud,
    a_demand,
    a_host,
    a_pool,
    a_volume,
    has_tags_and_room,
    holds,
    such_vms,
)
from interlock.testing.kits.networks import FakeAddresses, a_network

__all__ = [
    "ZONE",
    "FakeAddresses",
    "FakeCloud",
    "FakeShortlist",
    "IndexedCloud",
    "a_demand",
    "a_host",
    "a_network",
    "a_pool",
    "a_volume",
    "has_tags_and_room",
    "holds",
    "such_vms",
]
