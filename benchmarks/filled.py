"""A database that is full already, quickly: VMs with a NIC, a volume and a deploy each, in a cloud of that size.

One VM is deployed by an engine; the others are copies of its rows under other ids, names, addresses, hosts, accounts
and networks, in bulk. The triggers that count are on, those that refuse are off meanwhile, and on again in the end: so
all counters are right, `engine.check()` finds nothing, and the engine goes on with the database as with any other. Of
the journal each entity has its last row alone, which the guards ask for; the hashes are made up.

Of a hundred VMs 94 are Running, five Stopped and one in Error. Beside the full hosts there are empty ones, in the
cloud of `lab.py`, for those who deploy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from sqlalchemy import Boolean
from sqlalchemy.engine import make_url

from benchmarks.lab import CLOUD, PER_HOST, database_in, lab
from interlock import CloudDescription
from interlock.embed.loading import write_described
from interlock.engine.store.queries import journal_head
from interlock.engine.store.store import Store
from interlock.schema import guards
from interlock.schema.tables import metadata

TENANTS_OF, NETWORK_OF, CLUSTER_OF = 1000, 10_000, 32 * PER_HOST
"""So many VMs an account has, a network, and a cluster."""
AT_ONCE, IN_TRANSACTION = 10_000, 40
"""VMs written at once on SQLite, and in one transaction on PostgreSQL. Too few: many calls; too many: memory, and on
PostgreSQL each counter's row is found behind all its versions of the same transaction."""
TABLES = ("vm", "nic", "volume", "operation", "journal")
RARE = {7: "Error", **dict.fromkeys((11, 29, 47, 61, 83), "Stopped")}
"""Of a hundred VMs, those that do not run."""
CLUSTER = """
[[zones.pods.clusters]]
name = "cluster-{number}"
[[zones.pods.clusters.hosts]]
name = "host-{number}"
count = 32
cpu_cores = {per_host}
cpu_mhz = 2000
memory_mib = {memory}
[[zones.pods.clusters.pools]]
name = "nfs-{number}"
size_mib = {space}
"""
NETWORK = """
[[zones.networks]]
name = "net-{number}"
cidr = "10.64.0.0/16"
"""


class Template(msgspec.Struct, frozen=True):
    """Rows of one VM that was deployed: by table, the columns and their values; of the journal by machine."""

    rows: dict[str, dict[str, Any]]
    journal: dict[str, dict[str, Any]]


def cloud(vms: int, spare_hosts: int) -> CloudDescription:
    """Room for so many VMs, on hosts that are full then, and empty hosts beside them."""
    memory = PER_HOST * 2048
    text = CLOUD.format(hosts=spare_hosts, per_host=PER_HOST, memory=memory, space=max(1, spare_hosts) * memory)
    top, offers = text.split("[[offerings]]", 1)
    zone, pods = top.split("[[zones.pods]]", 1)
    networks = "".join(NETWORK.format(number=number) for number in range(_parts(vms, NETWORK_OF)))
    clusters = "".join(
        CLUSTER.format(number=number, per_host=PER_HOST, memory=memory, space=2 * CLUSTER_OF * 2048)
        for number in range(_parts(vms, CLUSTER_OF))
    )
    accounts = "".join(f'[[accounts]]\nname = "tenant-{number}"\n' for number in range(_parts(vms, TENANTS_OF)))
    return CloudDescription.parse(f"{zone}{networks}[[zones.pods]]{pods}{clusters}{accounts}[[offerings]]{offers}")


def _parts(vms: int, size: int) -> int:
    return -(-vms // size)


async def fill(url: str, vms: int, *, spare_hosts: int = 100) -> None:
    """Fill a database that is not there yet, or is empty.

    Args:
        url: as `Engine.open` takes it.
        vms: how many.
        spare_hosts: empty hosts, each with room for `PER_HOST` VMs.
    """
    template = await _template()
    store = await Store.open(url)
    try:
        await write_described(cloud(vms, spare_hosts), store, "benchmark")
        [[head]] = await store.rows(journal_head())
    finally:
        await store.close()
    if "postgresql" in url:
        await _fill_postgresql(url, template, vms, head)
    else:
        _fill_sqlite(make_url(url).database or url if "://" in url else url, template, vms, head)


async def _template() -> Template:
    with TemporaryDirectory() as place:
        folder = Path(place)
        async with lab(folder, hosts=1) as opened:
            await opened.deploy(1, 1)
        with closing(sqlite3.connect(database_in(folder))) as database:
            return _read(database)


def _read(database: sqlite3.Connection) -> Template:
    last = "SELECT * FROM journal WHERE machine = '{0}' ORDER BY seq DESC LIMIT 1"
    machines = TABLES[:-1]
    return Template(
        rows={name: _row(database, name, f"SELECT * FROM {name}") for name in machines},
        journal={name: _row(database, "journal", last.format(name)) for name in machines},
    )


def _row(database: sqlite3.Connection, table: str, query: str) -> dict[str, Any]:
    cursor = database.execute(query)
    names = [each[0] for each in cursor.description]
    found = dict(zip(names, cursor.fetchone(), strict=True))
    flags = [column.name for column in metadata.tables[table].c if isinstance(column.type, Boolean)]
    return {**found, **{name: bool(found[name]) for name in flags}}


# --- the copies


def copies(template: Template, numbers: Iterable[int], head: int) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of some VMs, by table, columns in the order of the table.

    Args:
        numbers: which, from 0.
        head: the number of the journal's last row before them all.
    """
    made: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for number in numbers:
        for place, (name, changed) in enumerate(_changed(template, number).items()):
            row = {**template.rows[name], **changed}
            made[name].append(tuple(row[column] for column in _COLUMNS[name]))
            told = {**template.journal[name], **_told(row, number, head + 4 * number + place + 1)}
            made["journal"].append(tuple(told[column] for column in _COLUMNS["journal"]))
    return made


_COLUMNS = {name: metadata.tables[name].c.keys() for name in TABLES}


def _changed(template: Template, number: int) -> Mapping[str, dict[str, Any]]:
    vm, nic, volume, operation = (_id(number, kind) for kind in range(4))
    name, tenant, at = f"old-{number:07}", f"tenant-{number // TENANTS_OF}", 1_700_000_000_000_000 + number * 1000
    cluster, address = number // CLUSTER_OF, number % NETWORK_OF + 2
    state = RARE.get(number % 100, "Running")
    host = f"host-{cluster}-{number % CLUSTER_OF // PER_HOST + 1}"
    both = {"created_at": at, "since": at + 100}
    return {
        "vm": {
            **_of(both, template, "vm", number, vm),
            "name": name,
            "name_scope": f"account/{tenant}",
            "instance_name": f"i-{tenant}-{vm}-VM",
            "account_id": tenant,
            "charged_to": tenant,
            "state": state,
            "host_id": host if state == "Running" else None,
            "last_host_id": host,
        },
        "nic": {
            **_of(both, template, "nic", number, nic),
            "vm_id": vm,
            "network_id": f"net-{number // NETWORK_OF}",
            "ip_address": f"10.64.{address >> 8}.{address & 255}",
            "mac_address": "06:" + ":".join(f"{number:010x}"[digit : digit + 2] for digit in range(0, 10, 2)),
        },
        "volume": {
            **_of(both, template, "volume", number, volume),
            "vm_id": vm,
            "account_id": tenant,
            "charged_to": tenant,
            "name": f"ROOT-{name}",
            "pool_id": f"nfs-{cluster}",
        },
        "operation": {**_of(both, template, "operation", number, operation), "vm_id": vm, "made": f'["{volume}"]'},
    }


def _of(both: dict[str, Any], template: Template, name: str, number: int, entity_id: str) -> dict[str, Any]:
    return {**both, "id": entity_id, "hash": f"{number:010x}{template.rows[name]['hash'][10:]}"}


def _told(row: Mapping[str, Any], number: int, seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": row["since"],
        "entity_id": row["id"],
        "vm_id": _id(number, 0),
        "operation_id": _id(number, 3),
        "destination": row["state"],
        "hash": row["hash"],
    }


def _id(number: int, kind: int) -> str:
    """A UUIDv7 of long ago; they sort by number."""
    return f"0190{number >> 16:04x}-{number & 0xFFFF:04x}-7{kind:03x}-8000-000000000000"


def _chunks(template: Template, vms: int, head: int, at_once: int) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    numbers = iter(range(vms))
    while some := list(islice(numbers, at_once)):
        yield copies(template, some, head)


# --- where they go


def _fill_sqlite(file: str, template: Template, vms: int, head: int) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for pragma in ("synchronous=OFF", "cache_size=-400000"):
            database.execute(f"PRAGMA {pragma}")
        for statement in _refusing(row[0] for row in database.execute(guards.earlier("sqlite")).fetchall()):
            database.execute(statement)
        for rows in _chunks(template, vms, head, AT_ONCE):
            # A transaction for all of them would write its pages again and again, when they fill the cache.
            database.execute("BEGIN")
            for name in TABLES:
                marks = ", ".join("?" * len(_COLUMNS[name]))
                database.executemany(f"INSERT INTO {name} VALUES ({marks})", rows[name])
            database.execute("COMMIT")
        for statement in _guards("sqlite", [row[0] for row in database.execute(guards.earlier("sqlite")).fetchall()]):
            database.execute(statement)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _fill_postgresql(url: str, template: Template, vms: int, head: int) -> None:
    import asyncpg

    connection: Any = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
    try:
        for statement in _refusing(row[0] for row in await connection.fetch(guards.earlier("postgresql"))):
            await connection.execute(statement)
        for rows in _chunks(template, vms, head, IN_TRANSACTION):
            async with connection.transaction():
                for name in TABLES:
                    columns = list(_COLUMNS[name])
                    await connection.copy_records_to_table(name, records=rows[name], columns=columns)
        earlier = [row[0] for row in await connection.fetch(guards.earlier("postgresql"))]
        for statement in _guards("postgresql", earlier):
            await connection.execute(statement)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _refusing(drops: Iterable[str]) -> Iterator[str]:
    """Those that take away what refuses, and leave what counts."""
    return (statement for statement in drops if statement.startswith("DROP TRIGGER guard_"))


def _guards(dialect: str, drops: Iterable[str]) -> Iterator[str]:
    """All triggers anew."""
    yield from drops
    yield from guards.statements(dialect)
