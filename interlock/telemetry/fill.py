"""How full the cloud is, summed up for metrics: clusters, pools, networks, and the limits of accounts.

Promises: no more than `MOST` places of a kind are told apart, the fullest; all others are one, `OTHERS`. Pools that
belong to one host are summed up by zone. Reads what the engine has in memory: no SQL. It may be called from any thread,
and with 100,000 hosts takes tens of milliseconds, so better not from the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from interlock.engine.orchestrator.view import View
from interlock.schema.cloud import Account, Cluster, Host, Network, PodRange, StoragePool
from interlock.schema.holdings import LIMITS
from interlock.telemetry import table
from interlock.telemetry.table import Metric

MOST = 200
"""Places of a kind that have series of their own. Too low: the one that fills up is among the others; too high: what
scrapes is flooded where there is a network for each account."""
OTHERS = "(others)"
LOCAL = "(local)"
"""The pools of single hosts, as one."""
MEGA = 1_000_000
MEBI = 1024 * 1024

Labels = tuple[str, ...]
Filled = tuple[Labels, float, float]
"""A place, what is held of it, and what there is."""
Series = dict[Labels, float]


def fill(view: View) -> dict[Metric, Series]:
    """All of it."""
    clusters = _clusters(view)
    pairs = (
        (table.CPU_HELD, table.CPU_ALL, [(of, one * MEGA, all_ * MEGA) for of, (one, all_, *_) in clusters.items()]),
        (
            table.MEMORY_HELD,
            table.MEMORY_ALL,
            [(of, one * MEBI, all_ * MEBI) for of, (*_, one, all_) in clusters.items()],
        ),
        (table.SPACE_HELD, table.SPACE_ALL, _pools(view)),
        (table.ADDRESSES_HELD, table.ADDRESSES_ALL, _networks(view)),
    )
    found: dict[Metric, Series] = {table.QUOTA: _quotas(view)}
    for held, capacity, filled in pairs:
        kept = bounded(summed(filled))
        found[held] = {labels: part for labels, part, _ in kept}
        found[capacity] = {labels: whole for labels, _, whole in kept}
    return found


def summed(filled: Iterable[Filled]) -> list[Filled]:
    """One row for each place."""
    sums: dict[Labels, tuple[float, float]] = {}
    for labels, held, whole in filled:
        before = sums.get(labels, (0, 0))
        sums[labels] = before[0] + held, before[1] + whole
    return [(labels, held, whole) for labels, (held, whole) in sums.items()]


def bounded(filled: list[Filled]) -> list[Filled]:
    """The fullest, and the rest as one for each zone (the first label)."""
    fullest = sorted(filled, key=lambda row: (-share(row), row[0]))
    rest = [((labels[0], OTHERS), held, whole) for labels, held, whole in fullest[MOST:]]
    return fullest[:MOST] + summed(rest)


def share(filled: Filled) -> float:
    """How full it is."""
    _, held, whole = filled
    return held / whole if whole else float(held > 0)


def _clusters(view: View) -> dict[Labels, list[int]]:
    """CPU held and there, memory held and there, by zone and cluster."""
    sums: dict[str, list[int]] = {}
    for host in view.places(Host):  # plainly: there may be 100,000
        found = sums.get(host.cluster_id)
        if found is None:
            found = sums[host.cluster_id] = [0, 0, 0, 0]
        found[0] += host.cpu_used_mhz
        found[1] += host.cpu_mhz
        found[2] += host.memory_used_mib
        found[3] += host.memory_mib
    zones = {cluster.id: cluster.zone_id for cluster in view.places(Cluster)}
    return {(zones.get(cluster_id, ""), cluster_id): found for cluster_id, found in sums.items()}


def _pools(view: View) -> Iterable[Filled]:
    for pool in view.places(StoragePool):
        name = LOCAL if pool.scope == "host" else pool.id
        yield (pool.zone_id, name), pool.used_mib * MEBI, int(pool.size_mib * pool.overcommit) * MEBI


def _networks(view: View) -> Iterable[Filled]:
    """A network whose addresses come with the pod has those of its pods' ranges."""
    of_pods: dict[str, int] = {}
    for part in view.places(PodRange):
        of_pods[part.network_id] = of_pods.get(part.network_id, 0) + _wide(part)
    for network in view.places(Network):
        held = view.addresses_held(network.id)
        if held is not None:
            yield (network.zone_id, network.id), held, of_pods.get(network.id) or _wide(network)


def _wide(network: Network | PodRange) -> int:
    return int(IPv4Address(network.last_ip)) - int(IPv4Address(network.first_ip)) + 1


def _quotas(view: View) -> Series:
    """Only what is limited, and of that the fullest: shares cannot be summed up."""
    shares = {
        (account.id, rule.thing): share(((), getattr(account, rule.used), limit))
        for account in view.places(Account)
        for rule in LIMITS
        if (limit := getattr(account, rule.total)) is not None
    }
    fullest = sorted(shares, key=lambda labels: (-shares[labels], labels))[:MOST]
    return {labels: shares[labels] for labels in fullest}
