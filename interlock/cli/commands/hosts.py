"""hosts: hosts and storage pools, and how much of each is held.

A host's figures are physical: what VMs are guaranteed of it, which is their size over the overcommit ratio. A pool's
total is its size times its ratio, because volumes hold their whole size.
"""

from __future__ import annotations

from typing import cast

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, Cell, Column, Row, bar, plain
from interlock.cli.output import Out
from interlock.schema.cloud import Host, StoragePool

HOSTS = (
    Column("HOST"),
    Column("CPU"),
    Column("MHZ", right=True, extra=True),
    Column("MEMORY"),
    Column("MIB", right=True, extra=True),
    Column("OVERCOMMIT", extra=True),
    Column("ZONE", extra=True),
    Column("CLUSTER", extra=True),
    Column("STATE"),
)
POOLS = (
    Column("POOL"),
    Column("SPACE"),
    Column("MIB", right=True, extra=True),
    Column("FOR"),
    Column("OVERCOMMIT", extra=True),
    Column("ZONE", extra=True),
    Column("STATE"),
)
EXPLAINED = "VMs hold their size divided by their host's overcommit ratio (CPU/memory)"


@command("hosts")
async def hosts(face: Face) -> Exit:
    """Show hosts and pools, and what is held of each, as held/total.

    A host's total is what it really has; a VM that starts there holds its size divided by the host's overcommit
    ratio. A pool's total is its size times its ratio.
    """
    async with face.looking() as engine:
        places = await engine.places()
    found = cast("list[Host]", places["host"])
    pools = cast("list[StoragePool]", places["storage_pool"])
    if face.out.json:
        face.out.document({"hosts": found, "pools": pools})
    else:
        tell(face.out, found, pools)
    return Exit.OK


def tell(out: Out, hosts: list[Host], pools: list[StoragePool]) -> None:
    """Hosts and pools for people."""
    out.table(HOSTS, [_host(each) for each in hosts])
    if out.terminal and any((each.cpu_overcommit, each.memory_overcommit) != (1.0, 1.0) for each in hosts):
        out.line([(EXPLAINED, DIM)])
    if pools:
        out.line()
        out.table(POOLS, [_pool(each) for each in pools])


def _host(host: Host) -> Row:
    cpu = _held(host.cpu_used_mhz, host.cpu_free_mhz)
    memory = _held(host.memory_used_mib, host.memory_free_mib)
    ratios = plain(f"{host.cpu_overcommit:g}×/{host.memory_overcommit:g}×")
    where = (plain(host.zone_id), plain(host.cluster_id))
    return Row((plain(host.id), *cpu, *memory, ratios, *where, _enabled(host.enabled)))


def _pool(pool: StoragePool) -> Row:
    whose = pool.host_id or pool.cluster_id or "every host"
    space = _held(pool.used_mib, pool.free_mib)
    ratio = plain(f"{pool.overcommit:g}×")
    return Row((plain(pool.id), *space, plain(whose), ratio, plain(pool.zone_id), _enabled(pool.enabled)))


def _held(used: int, free: int) -> tuple[Cell, Cell]:
    """A bar with its share in percent, and the figures."""
    total = used + free
    share = used / total if total else 0.0
    colour = "red" if share > 0.9 else "yellow" if share > 0.7 else "green"
    return (f"{bar(share)} {share:4.0%}", colour), plain(f"{used}/{total}")


def _enabled(enabled: bool) -> Cell:
    return ("enabled", "") if enabled else ("disabled", "yellow")
