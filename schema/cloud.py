"""The records of what VMs run on: zones, hosts, pools, networks, and what may be asked for: offerings, templates.

Loaded from a cloud description (`interlock init`), changed by administrators, read by planners. Frozen values. The
`used` columns of Host and StoragePool are kept by the database itself (see `holdings.py`); nobody else writes them.
Ids are the names the description gives.
"""

from __future__ import annotations

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who VMs belong to."""

    id: str


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """A place with its own networks and hosts."""

    id: str
    enabled: bool = True


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A rack."""

    id: str
    zone_id: str
    enabled: bool = True


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts of one kind that share storage."""

    id: str
    zone_id: str
    pod_id: str
    enabled: bool = True


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A hypervisor. Capacity is `cpu_mhz × cpu_overcommit` and `memory_mib × memory_overcommit`."""

    id: str
    zone_id: str
    pod_id: str
    cluster_id: str
    driver: str
    enabled: bool = True
    cpu_mhz: int
    memory_mib: int
    cpu_overcommit: float = 1.0
    memory_overcommit: float = 1.0
    cpu_used_mhz: int = 0
    memory_used_mib: int = 0

    @property
    def cpu_free_mhz(self) -> int:
        """What can still be taken, in MHz."""
        return int(self.cpu_mhz * self.cpu_overcommit) - self.cpu_used_mhz

    @property
    def memory_free_mib(self) -> int:
        """What can still be taken, in MiB."""
        return int(self.memory_mib * self.memory_overcommit) - self.memory_used_mib


class StoragePool(msgspec.Struct, frozen=True, kw_only=True):
    """Where volumes live. Scope zone: every host; cluster: its hosts; host: that one (local storage)."""

    id: str
    zone_id: str
    scope: str
    cluster_id: str | None = None
    host_id: str | None = None
    driver: str
    enabled: bool = True
    size_mib: int
    overcommit: float = 1.0
    used_mib: int = 0

    @property
    def free_mib(self) -> int:
        """What can still be taken, in MiB."""
        return int(self.size_mib * self.overcommit) - self.used_mib


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A network; its guru gives addresses between `first_ip` and `last_ip`."""

    id: str
    zone_id: str
    guru: str
    cidr: str
    gateway: str
    first_ip: str
    last_ip: str
    vlan: int | None = None
    account_id: str | None = None
    """An isolated network is one account's; None: everybody's."""
    is_default: bool = False
    enabled: bool = True


class Offering(msgspec.Struct, frozen=True, kw_only=True):
    """A size of VM, and which planner and storage it gets."""

    id: str
    cpu_cores: int
    cpu_mhz: int
    """Of one core."""
    memory_mib: int
    storage: str = "shared"
    planner: str | None = None


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A root disk to start from."""

    id: str
    size_mib: int
    enabled: bool = True


Place = Account | Zone | Pod | Cluster | Host | StoragePool | Network | Offering | Template
PLACES: dict[str, type[Place]] = {
    "account": Account,
    "zone": Zone,
    "pod": Pod,
    "cluster": Cluster,
    "host": Host,
    "storage_pool": StoragePool,
    "network": Network,
    "offering": Offering,
    "template": Template,
}
