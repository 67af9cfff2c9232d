"""What a host planner and a network guru are, and what they are shown.

Both are pure: the answer follows from the arguments, they hold no state between calls, do no I/O, and read neither
clock nor chance (where variety is wanted, it comes from `Demand.seed`). They only propose: the engine takes what
they name in a conditional write, and asks again with fresh figures if another was faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from interlock.schema.cloud import Cluster, Host, Network, StoragePool
from interlock.schema.requests import NicRequest


class VolumeDemand(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that needs a pool; one that already lies in `pool_id` ties the VM to hosts that reach it."""

    id: str
    size_mib: int
    storage: str
    """shared (zone or cluster pools) or local (a pool of the host itself)."""
    pool_id: str | None


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a VM needs of its host and pools."""

    vm_id: str
    account_id: str
    zone_id: str
    cpu_mhz: int
    memory_mib: int
    volumes: tuple[VolumeDemand, ...]
    avoid_hosts: Mapping[str, str]
    """Host ids that must not be taken, each with the cause."""
    avoid_pools: Mapping[str, str]
    """Pool ids that must not be taken, each with the cause."""
    seed: str


class Rejected(msgspec.Struct, frozen=True):
    """A candidate that was looked at and not taken."""

    candidate: str
    """Its kind and id, as in "host h1"."""
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A destination: the host, and a pool for each volume. `rejected` are those that came before it."""

    host_id: str
    pools: dict[str, str]
    rejected: tuple[Rejected, ...]


class NoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Nowhere: every candidate with its reason."""

    rejected: tuple[Rejected, ...]


@runtime_checkable
class CloudView(Protocol):
    """The cloud as a planner sees it. Reading it never changes it, and never waits."""

    def hosts(self, zone_id: str) -> Iterable[Host]:
        """The zone's hosts, in the order of their ids, enabled or not."""
        ...

    def cluster(self, cluster_id: str) -> Cluster:
        """One cluster."""
        ...

    def enabled(self, host: Host) -> str | None:
        """None if the host and its zone, pod and cluster are enabled; else which is not, in words."""
        ...

    def pools(self, zone_id: str) -> Iterable[StoragePool]:
        """The zone's pools, in the order of their ids, enabled or not."""
        ...

    def vms_of(self, account_id: str, host_id: str) -> int:
        """How many VMs of the account hold capacity on the host."""
        ...


@runtime_checkable
class HostPlanner(Protocol):
    """Chooses a host and pools."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The best destination for the demand, or why there is none."""
        ...


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """What a NIC is given."""

    ip_address: str
    mac_address: str
    gateway: str
    netmask: str


class NoAddress(msgspec.Struct, frozen=True):
    """Why a NIC cannot have an address here."""

    reason: str


@runtime_checkable
class AddressView(Protocol):
    """Which addresses of one network are taken."""

    def is_taken(self, ip_address: str) -> bool:
        """Whether a NIC owns it."""
        ...

    def first_free(self, first: str, last: str) -> str | None:
        """The lowest free address between two, both included; None if all are taken."""
        ...


@runtime_checkable
class NetworkGuru(Protocol):
    """Gives a NIC its address."""

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        """An address of the network for a NIC.

        Args:
            network: where.
            wish: what was asked; an `ip_address` in it must be given or refused.
            taken: what is owned already.
            account_id: whose VM it is.
            seed: differs from NIC to NIC; the MAC follows from it.
        """
        ...
