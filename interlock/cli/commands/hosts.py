"""hosts: hosts and storage pools, and how much of each is held.

A host's figures are physical: what VMs are guaranteed of it, which is their size over the overcommit ratio. A pool's
total is its size times its ratio, because volumes hold their whole size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, Cell, Column, Row, bar, plain
from interlock.cli.listing import Fetch, collected, paged, tell_more
from interlock.cli.output import Out, note
from interlock.schema.cloud import Host, Place, StoragePool

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

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
@click.option("--zone", metavar="Z", help="Only hosts and pools in this zone.")
@click.option("--cluster", metavar="C", help="Only hosts and pools of this cluster.")
@paged("hosts, and pools")
async def hosts(face: Face, after: str | None, limit: int, zone: str | None, cluster: str | None) -> Exit:
    """Show hosts and pools, and what is held of each, as held/total; with --after, hosts alone.

    A host's total is what it really has; a VM that starts there holds its size divided by the host's overcommit
    ratio. A pool's total is its size times its ratio.
    """
    async with face.looking() as engine:
        found, more = await collected(_places(engine, "host", zone, cluster), after, limit)
        pools: list[Place] = []
        if after is None:
            pools, left = await collected(_places(engine, "storage_pool", zone, cluster), None, limit)
            if left is not None:
                note(f"there are more pools than the {limit} shown; --limit 0 shows all")
    if face.out.json:
        face.out.document({"hosts": found, "pools": pools})
    else:
        tell(face.out, cast("list[Host]", found), cast("list[StoragePool]", pools))
    tell_more(face.out, more)
    return Exit.OK


def _places(engine: Engine, kind: str, zone: str | None, cluster: str | None) -> Fetch[Place]:
    async def fetch(after: str | None, limit: int) -> tuple[list[Place], str | None]:
        page = await engine.some_places(kind, zone=zone, cluster=cluster, after=after, limit=limit)
        return page.places, page.next

    return fetch


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
