"""Hosts and pools of this driver: which connection a command goes through, and what lies behind it.

Promises: a place that was never attached, or that the options do not lead to, is refused as permanent, about itself.
Two hosts never share one connection: their guests could not be told apart.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from interlock.drivers.libvirt.boundary import lib
from interlock.drivers.libvirt.link import Link
from interlock.drivers.libvirt.options import Options, PoolOptions
from interlock.drivers.libvirt.refusals import refused
from interlock.drivers.libvirt.registry import Registry
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import Scope


@dataclass
class Site:
    """A host, and the way to it."""

    id: str
    uri: str
    link: Link
    kind: str = ""
    """The domain type that its guests have: kvm, qemu or test; empty: not looked at yet."""
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who looks, so that of many guests that start at once only one looks."""


@dataclass
class Places:
    """All of one driver."""

    options: Options
    registry: Registry
    hear: Callable[[str], Callable[..., None]]
    """Makes what a host's link calls."""
    hosts: dict[str, Host] = field(default_factory=dict)
    pools: dict[str, StoragePool] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    reboots: dict[str, asyncio.Event] = field(default_factory=dict)
    """Of VMs that are to reboot: set when they do."""
    booted: dict[str, float] = field(default_factory=dict)
    """When VMs began to boot, by the monotonic clock, as far as this process has heard."""
    importing: threading.Lock = field(default_factory=threading.Lock)
    """Images are brought one at a time, so that none is brought twice."""
    refilter: Callable[..., Awaitable[None]] = field(init=False)
    """Tells the guests that name a group who is in it now (starting.py)."""

    def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        """Learn of them; nothing is opened yet."""
        self.hosts |= {host.id: host for host in hosts}
        self.pools |= {pool.id: pool for pool in pools}
        for host in hosts:
            uri = self._uri(host.id)
            if uri is not None and host.id not in self.sites and self._user(uri) is None:
                self.sites[host.id] = Site(host.id, uri, Link(uri, self.options, self.hear(host.id)))

    def _uri(self, host_id: str) -> str | None:
        own = self.options.hosts.get(host_id)
        return own.uri if own is not None else self.options.uri

    def _user(self, uri: str) -> str | None:
        return next((site.id for site in self.sites.values() if site.uri == uri), None)

    def site(self, host_id: str) -> Site:
        """The way to a host.

        Raises:
            Refuse: there is none.
        """
        if host_id in self.sites:
            return self.sites[host_id]
        if host_id not in self.hosts:
            raise refused(Scope.HOST, f"there is no host {host_id} of driver libvirt")
        if (uri := self._uri(host_id)) is None:
            raise refused(Scope.HOST, f"host {host_id} has no URI; give it one in [drivers.libvirt.hosts.{host_id}]")
        raise refused(
            Scope.HOST, f"host {host_id} has the URI {uri}, which is host {self._user(uri)} already; give it its own"
        )

    def pool(self, pool_id: str) -> tuple[StoragePool, PoolOptions]:
        """A pool, and which one it is in libvirt.

        Raises:
            Refuse: it is unknown, or the options do not say.
        """
        if pool_id not in self.pools:
            raise refused(Scope.POOL, f"there is no pool {pool_id} of driver libvirt")
        if pool_id not in self.options.pools:
            raise refused(
                Scope.POOL, f"pool {pool_id} has no pool of libvirt; name one in [drivers.libvirt.pools.{pool_id}]"
            )
        return self.pools[pool_id], self.options.pools[pool_id]

    def reaching(self, pool: StoragePool) -> Site:
        """A host that reaches the pool, rather one that is connected.

        Raises:
            Refuse: there is none.
        """
        able = [site for site in self.sites.values() if self.reaches(self.hosts[site.id], pool)]
        if not able:
            raise refused(Scope.POOL, f"no host of driver libvirt reaches pool {pool.id}; attach one")
        return min(able, key=lambda site: (not site.link.is_up, site.id))

    @staticmethod
    def reaches(host: Host, pool: StoragePool) -> bool:
        """Whether it does."""
        if pool.host_id is not None:
            return pool.host_id == host.id
        return pool.zone_id == host.zone_id and pool.cluster_id in (None, host.cluster_id)

    def pools_of(self, host_id: str) -> list[PoolOptions]:
        """libvirt's pools that the host reaches, and that are ours."""
        host = self.hosts[host_id]
        return [
            self.options.pools[pool.id]
            for pool in self.pools.values()
            if pool.id in self.options.pools and self.reaches(host, pool)
        ]


def missing(error: BaseException, kind: str) -> bool:
    """Whether an error says VIR_ERR_NO_ and that kind; anything else is to be raised on."""
    code = getattr(error, "get_error_code", lambda: None)()
    return code is not None and code == getattr(lib(), f"VIR_ERR_NO_{kind}")
