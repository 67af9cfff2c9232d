"""What a host planner and a network guru are, and what they are shown.

Both are pure: the answer follows from the arguments, they hold no state between calls, do no I/O, and read neither
clock nor chance (where variety is wanted, it comes from `Demand.seed`). They only propose: the engine takes what
they name in a conditional write, and asks again with fresh figures if another was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from interlock.schema.cloud import Cluster, Host, Network, PodRange, StoragePool
from interlock.schema.requests import NicRequest


class VolumeDemand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume that needs a pool; one that already lies in `pool_id` ties the VM to hosts that reach it."""

    id: str
    size_mib: int
    storage: str
    """shared (zone or cluster pools) or local (a pool of the host itself)."""
    tags: tuple[str, ...] = ()
    """All of which its pool must have."""
    pool_id: str | None


class Demand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a VM needs of its host and pools. Mappings of ids give the reason with each."""

    vm_id: str
    account_id: str
    zone_id: str
    cpu_mhz: int
    """What the guest sees; it holds that divided by the overcommit ratio. Also memory."""
    memory_mib: int
    own_cpu_overcommit: float | None = None
    """The VM's own ratio; None: that of the host. Also memory."""
    own_memory_overcommit: float | None = None
    volumes: tuple[VolumeDemand, ...]
    host_tags: tuple[str, ...] = ()
    """All of which the host must have."""
    hypervisor: str | None = None
    """The only one that will do."""
    only_pod: str | None = None
    """Chosen by an administrator, as are the next two."""
    only_cluster: str | None = None
    only_host: str | None = None
    only_hosts: Mapping[str, str] | None = None
    """The only ones that will do (those with members of an affinity group), if any will not."""
    dedicated_only: bool = False
    """Whether it goes only where its account or a domain above has places of its own."""
    ignore_disabled: bool = False
    """An administrator may use what is disabled for others."""
    avoid_drivers: Mapping[str, str] = {}
    """Hosts of these drivers cannot run it."""
    avoid_pods: Mapping[str, str] = {}
    avoid_hosts: Mapping[str, str]
    avoid_pools: Mapping[str, str]
    liked_hosts: Mapping[str, int] = {}
    """Preferences that are no conditions: those with higher figures first, all others count 0, below 0 last."""
    last_host: str | None = None
    """Where it ran last: taken first, if it fits."""
    planner_mode: str | None = None
    """What the offering says to the planner beside its name."""
    seed: str


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A candidate that was looked at and not taken."""

    candidate: str
    """Its kind and id, as in "host h1"."""
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A destination: the host, and a pool for each volume.

    `rejected_in_all` counts the hosts that were refused before it was found: those looked at one by one, and those of
    the zone that were left out of the shortlist without a look. `rejected` are the first of them with their reasons,
    those looked at before those left out.
    """

    host_id: str
    pools: dict[str, str]
    rejected: tuple[Rejected, ...]
    rejected_in_all: int = 0


class NoPlan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nowhere: every candidate with its reason.

    Where they are many, it may be the first of them, and last the zone, with how many there are for which causes.
    `rejected_in_all` counts the hosts then; 0: `rejected` has them all.
    """

    rejected: tuple[Rejected, ...]
    rejected_in_all: int = 0


@runtime_checkable
class Shortlist(Protocol):
    """The hosts of a zone that may do for one demand, without a look at each.

    No host that fits is missing. Those that lack a tag or the room are; others that will not do may be in it. A value:
    narrowing it makes another.
    """

    def __iter__(self) -> Iterator[Host]:
        """In the order of their ids."""
        ...

    def __len__(self) -> int:
        """How many they are."""
        ...

    def __contains__(self, host_id: object) -> bool:
        """Whether the host of that id is in it."""
        ...

    def roomiest_first(self) -> Iterator[Host]:
        """Those with room for the most such VMs first (`rules.how_many`), of equals those with the lower id."""
        ...

    def in_pods(self, pod_ids: Collection[str]) -> Shortlist:
        """Only those in one of the pods."""
        ...

    def vacant(self) -> Shortlist:
        """Only those of which nothing is held."""
        ...

    def without(self, host_ids: Iterable[str]) -> Shortlist:
        """All but these."""
        ...

    def left_out(self) -> tuple[int, Iterator[Host]]:
        """How many of the zone's hosts are not in it, and these in the order of their ids."""
        ...

    def causes(self) -> list[tuple[str, int]]:
        """What the zone's hosts that are not in it lack, in words, and how many; each host counts once."""
        ...

    def told(self, tell: Callable[[Host], Rejected], most: int, but: Container[str]) -> list[Rejected]:
        """What `tell` says of the first hosts that are not in it, in the order of their ids.

        What was said before may be said again without asking: so `tell` says why a host must not be chosen for this
        demand, and nothing that changes while host, tenants and demand (its volumes and likes aside) stay the same.

        Args:
            tell: is asked about a host.
            most: how many are told of.
            but: ids of hosts that are not told of.
        """
        ...


@runtime_checkable
class CloudView(Protocol):
    """The cloud as a planner sees it. Reading it never changes it, and never waits."""

    def hosts(self, zone_id: str) -> Iterable[Host]:
        """The zone's hosts, in the order of their ids, enabled or not."""
        ...

    def host(self, host_id: str) -> Host | None:
        """One host."""
        ...

    def shortlist(self, demand: Demand) -> Shortlist:
        """The hosts that may do for the demand."""
        ...

    def cluster(self, cluster_id: str) -> Cluster:
        """One cluster."""
        ...

    def enabled(self, host: Host) -> str | None:
        """None if the host and its zone, pod and cluster are enabled; else which is not, in words."""
        ...

    def dedicated_to_others(self, host: Host, account_id: str) -> str | None:
        """None if the account may use the host; else which of it, its cluster, pod and zone is whose, in words."""
        ...

    def dedicated_to(self, host: Host, account_id: str) -> bool:
        """Whether the host, its cluster, pod or zone is dedicated to the account or a domain above it."""
        ...

    def pools(self, zone_id: str) -> Iterable[StoragePool]:
        """The zone's pools, in the order of their ids, enabled or not."""
        ...

    def pool(self, pool_id: str) -> StoragePool | None:
        """One pool."""
        ...

    def pools_near(self, scope: str, owner_id: str) -> Iterable[StoragePool]:
        """The pools of one host, cluster or zone (`scope` says which), in the order of their ids, enabled or not."""
        ...

    def over_threshold(self, cluster_id: str, cpu_mhz: int, memory_mib: int) -> str | None:
        """None if the cluster may hold so much more; else which capacity would be allocated too far, in words."""
        ...

    def pool_most_mib(self, pool: StoragePool) -> int:
        """How much of a pool may be allocated before no new volume is placed there, in MiB."""
        ...

    def vms_of(self, account_id: str, host_id: str) -> int:
        """How many VMs of the account hold capacity on the host."""
        ...

    def hosts_of(self, account_id: str) -> Mapping[str, int]:
        """The hosts on which VMs of the account hold capacity, each with how many."""
        ...

    def tenants(self, host_id: str) -> Mapping[str, int]:
        """The accounts whose VMs hold capacity on the host, each with how many."""
        ...

    def planners_on(self, host_id: str) -> Mapping[str, int]:
        """The planners that placed the VMs that hold capacity on the host, each with how many."""
        ...


@runtime_checkable
class HostPlanner(Protocol):
    """Chooses a host and pools."""

    def plan(self, demand: Demand, cloud: CloudView) -> Plan | NoPlan:
        """The best destination for the demand, or why there is none."""
        ...


class Address(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a NIC is given. Without `ip_address`, `gateway` and `netmask`: they come with the pod, by `reserve`."""

    ip_address: str | None
    ip6_address: str | None = None
    mac_address: str
    gateway: str | None
    netmask: str | None


class NoAddress(msgspec.Struct, frozen=True, gc=False):
    """Why a NIC cannot have an address here."""

    reason: str


@runtime_checkable
class AddressView(Protocol):
    """Which addresses of one network are taken."""

    def is_taken(self, ip_address: str) -> bool:
        """Whether a NIC owns it, IPv4 or IPv6."""
        ...

    def first_free(self, first: str, last: str) -> str | None:
        """The lowest free IPv4 address between two, both included; None if all are taken."""
        ...


class PodAddress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An IPv4 address that came with the pod."""

    ip_address: str
    gateway: str
    netmask: str


@runtime_checkable
class NetworkGuru(Protocol):
    """Gives a NIC its addresses."""

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        """The addresses of a NIC that is being made.

        Args:
            network: where.
            wish: what was asked; addresses in it must be given or refused.
            taken: what is owned already.
            account_id: whose VM it is.
            seed: differs from NIC to NIC; the MAC follows from it.
        """
        ...


@runtime_checkable
class PodGuru(NetworkGuru, Protocol):
    """A guru whose IPv4 addresses come with the pod of the host that was chosen."""

    def reserve(
        self, network: Network, ranges: Iterable[PodRange], wished_ip: str | None, taken: AddressView
    ) -> PodAddress | NoAddress:
        """An address in one of the pod's ranges for a NIC that is about to be prepared there.

        Args:
            network: where.
            ranges: those of the pod.
            wished_ip: what was asked when the NIC was made; it must be given or refused.
            taken: what is owned already.
        """
        ...
