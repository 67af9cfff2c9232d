"""A database that lived under release 0.1 is brought forward: nothing is lost, what is new is right, guards hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text

from interlock.embed.checkup import checkup
from interlock.engine.core.decision import seal
from interlock.engine.store.migrate import HEAD, VERSION_TABLE
from interlock.engine.store.store import Store
from interlock.schema import guards
from interlock.schema.cloud import PLACES, Account, Host, guaranteed
from interlock.schema.errors import StoreError
from interlock.schema.holdings import COUNTERS
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.records import RECORDS, Nic, Operation, Vm, Volume
from interlock.schema.rows import reader
from interlock.schema.tables import metadata
from interlock.schema.tables.derived import MEMBERSHIPS
from interlock.schema.transition import CLOUD, Entry, Transition
from tests.bare import Bare, Refused, bare, value
from tests.conftest import Copy
from tests.release import clock_at
from tests.release_0_1 import Rows, asked, everything, make_old
from tests.world import world

RECOUNTED = {"host": {"cpu_used_mhz", "memory_used_mib"}}
"""What means something else since."""
UNCHARGED = {"Destroyed", "Expunging", "Expunged", "Error"}


@pytest.fixture
async def old_url(empty_url: str) -> AsyncIterator[str]:
    """A database of release 0.1."""
    await make_old(empty_url)
    yield empty_url


class Lives(msgspec.Struct, frozen=True):
    """All rows, before and after."""

    before: Rows
    after: Rows


_LIVES: dict[str, Lives] = {}
"""One of each dialect is enough for all that only look."""


@pytest.fixture
async def lives(copy: Copy, dialect: str) -> Lives:
    """What the migration made of a database of release 0.1."""
    if dialect not in _LIVES:
        async with copy(None) as url:
            await make_old(url)
            before = await asked(url, everything)
            _LIVES[dialect] = Lives(before, await migrated(url))
    return _LIVES[dialect]


async def migrated(url: str) -> Rows:
    """Open it once; all rows as they are then."""
    await (await Store.open(url, create=False)).close()
    found: Rows = await asked(url, everything)
    return found


def records(rows: Rows, kind: type[msgspec.Struct]) -> list[Any]:
    """The records of a machine or place."""
    name = next(name for name, record in (RECORDS | PLACES).items() if record is kind)
    return [reader(kind)([row[column.name] for column in metadata.tables[name].c]) for row in rows[name]]


# Nothing is lost


async def test_the_old_database_has_something_of_everything(old_url: str) -> None:
    before = await asked(old_url, everything)
    states = {name: {row["state"] for row in before[name]} for name in MACHINES}
    assert states["vm"] >= {"Allocated", "Starting", "Running", "Stopped", "Destroyed", "Expunged", "Error"}
    assert states["volume"] >= {"Allocated", "Creating", "Ready", "Expunged"}
    assert states["operation"] >= {"Queued", "Running", "Succeeded", "Failed"}
    assert {row["cpu_overcommit"] for row in before["host"]} >= {1.0, 3.0}
    assert [row["version_num"] for row in before[VERSION_TABLE]] == ["0001"]
    async with bare(old_url) as database:
        with pytest.raises(Refused, match="append-only"):
            await database.run("DELETE FROM journal")


def test_every_row_says_what_it_said(lives: Lives) -> None:
    before, after = lives.before, {**lives.after}
    after["journal"] = [row for row in after["journal"] if row["machine"] != CLOUD]
    for name in before.keys() - {VERSION_TABLE, "guard"}:
        kept = [column for column in (before[name] or [{}])[0] if column not in RECOUNTED.get(name, ())]
        assert [[row[column] for column in kept] for row in after[name]] == [
            [row[column] for column in kept] for row in before[name]
        ], name


def test_the_journal_still_verifies(lives: Lives) -> None:
    after = lives.after
    journal = [Transition(**row) for row in after["journal"]]
    assert [row.seq for row in journal] == list(range(1, len(journal) + 1))
    for row in journal:
        assert seal(Entry(**{field: getattr(row, field) for field in Entry.__struct_fields__})) == row.hash
    last = {row.entity_id: (row.version, row.hash) for row in journal if row.machine != CLOUD}
    assert last == {row["id"]: (row["version"], row["hash"]) for name in MACHINES for row in after[name]}


async def test_what_was_under_way_is_gone_on_with(old_url: str, tmp_path: Path) -> None:
    before = await asked(old_url, everything)
    under_way = {row["id"] for row in before["operation"] if row["state"] in DRIVEN}
    assert len(under_way) == 2
    # Its world is lost: what was prepared there is prepared again. It is opened as soon as it was killed.
    with clock_at(max(row["at"] for row in before["journal"])):
        async with world(tmp_path, url=old_url) as lab:
            await lab.engine.idle()
            for operation_id in under_way:
                operation = await (await lab.engine.handle(operation_id)).ended()
                assert (operation.state, operation.steps[operation.step]) == ("Succeeded", "domain")
            assert await lab.engine.check() == []


# What is new is right


async def test_what_is_counted_is_what_is_held(old_url: str) -> None:
    store = await Store.open(old_url, create=False)
    try:
        assert await checkup(store) == []
    finally:
        await store.close()


def test_vms_hold_what_their_host_guarantees(lives: Lives) -> None:
    after = lives.after
    hosts: dict[str, Host] = {host.id: host for host in records(after, Host)}
    cpu: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for vm in records(after, Vm):
        if vm.host_id is None:
            assert (vm.cpu_held_mhz, vm.memory_held_mib) == (vm.cpu_mhz, vm.memory_mib)
            continue
        host = hosts[vm.host_id]
        assert vm.cpu_held_mhz == guaranteed(vm.cpu_mhz, host.cpu_overcommit)
        assert vm.memory_held_mib == guaranteed(vm.memory_mib, host.memory_overcommit)
        cpu[host.id] += vm.cpu_held_mhz
        memory[host.id] += vm.memory_held_mib
    assert cpu.total() > 0
    for host in hosts.values():
        assert (host.cpu_used_mhz, host.memory_used_mib) == (cpu[host.id], memory[host.id])
        assert host.cpu_used_mhz <= host.cpu_mhz
        assert host.memory_used_mib <= host.memory_mib


RATIOS = (1.0, 1.1, 1.5, 3.0, 7.3, 16.0, 100.0)
SIZES = (1, 2, 3, 7, 73, 99, 100, 1000, 1024, 4097, 2**20)


def _crowd() -> list[str]:
    """SQL for a host of each ratio, with a VM of each size on it."""
    said = "name_scope, account_id, zone_id, offering_id, template_id, cpu_cores, planner, created_at, state, since"
    some = f"SELECT 1, {said}, hash FROM vm WHERE name = 'web-0'"
    hosts = [
        "INSERT INTO host SELECT "
        f"'big-{ratio}', zone_id, pod_id, cluster_id, driver, enabled, {2**32}, {2**32}, {ratio}, {ratio}, "
        f"{sum(SIZES)}, {sum(SIZES)} FROM host WHERE id = 'h-1'"
        for ratio in RATIOS
    ]
    vms = [
        f"INSERT INTO vm (version, {said}, hash, id, name, cpu_mhz, memory_mib, host_id) "
        + some.replace(", hash", f", hash, '{ratio}-{size}', '{ratio}-{size}', {size}, {size}, 'big-{ratio}'")
        for ratio, size in product(RATIOS, SIZES)
    ]
    return [*hosts, *vms]


async def test_any_size_is_divided_by_any_ratio_as_the_engine_does_it(empty_url: str) -> None:
    await make_old(empty_url, *_crowd())
    held = {vm.id: (vm.cpu_held_mhz, vm.memory_held_mib) for vm in records(await migrated(empty_url), Vm)}
    for ratio, size in product(RATIOS, SIZES):
        assert held[f"{ratio}-{size}"] == (guaranteed(size, ratio), guaranteed(size, ratio)), (ratio, size)


def test_accounts_are_charged_for_what_they_have(lives: Lives) -> None:
    after = lives.after
    vms: dict[str, Vm] = {vm.id: vm for vm in records(after, Vm)}
    volumes: list[Volume] = records(after, Volume)
    for vm in vms.values():
        assert vm.charged_to == (None if vm.state in UNCHARGED else vm.account_id)
    for volume in volumes:
        owner = vms[volume.vm_id or ""]
        assert (volume.account_id, volume.zone_id) == (owner.account_id, owner.zone_id)
        assert volume.charged_to == (None if volume.state == "Expunged" else owner.account_id)
    assert {nic.charged_to for nic in records(after, Nic)} == {None}
    for account in records(after, Account):
        charged = [vm for vm in vms.values() if vm.charged_to == account.id]
        disks = [volume for volume in volumes if volume.charged_to == account.id]
        assert (account.vms_used, account.volumes_used, account.ips_used) == (len(charged), len(disks), 0)
        assert account.cores_used == sum(vm.cpu_cores for vm in charged)
        assert account.memory_used_mib == sum(vm.memory_mib for vm in charged)
        assert account.storage_used_mib == sum(volume.size_mib for volume in disks)
        assert charged
        assert disks


def test_all_accounts_are_in_root_and_the_operators_is_an_admin(lives: Lives) -> None:
    after = lives.after
    [root] = after["domain"]
    assert (root["id"], root["parent_id"]) == ("ROOT", None)
    assert after["domain_above"] == [{"domain_id": "ROOT", "above_id": "ROOT"}]
    assert {row["id"]: (row["domain_id"], row["role"]) for row in after["account"]} == {
        "acme": ("ROOT", "user"),
        "system": ("ROOT", "admin"),
    }
    for used in COUNTERS["domain"]:
        assert root[used] == sum(row[used] for row in after["account"])


def test_places_are_what_a_description_says_that_says_nothing_new(lives: Lives) -> None:
    for name in PLACES.keys() & lives.before.keys():
        said = {*lives.before[name][0], *COUNTERS.get(name, ()), *(["role"] if name == "account" else [])}
        for place in records(lives.after, PLACES[name]):
            assert place == PLACES[name](**{field: getattr(place, field) for field in said})


def test_vms_are_named_to_hypervisors_and_are_in_no_group(lives: Lives) -> None:
    after = lives.after
    for vm in records(after, Vm):
        assert vm.instance_name == f"i-{vm.account_id}-{vm.id}-VM"
        assert (vm.affinity_groups, vm.security_groups, vm.ssh_keys, vm.details, vm.tags) == ((), (), (), {}, {})
        assert (vm.target_host_id, vm.own_cpu_overcommit, vm.own_memory_overcommit, vm.rules_told) == (
            None,
            None,
            None,
            0,
        )
    assert [after[table] for table in MEMBERSHIPS] == [[], []]


def test_disks_that_were_made_from_a_template_are_full_clones(lives: Lives) -> None:
    volumes: list[Volume] = records(lives.after, Volume)
    made = [volume for volume in volumes if volume.pool_id and volume.template_id]
    assert {volume.clone for volume in made} == {"full"}
    assert {volume.clone for volume in volumes if volume not in made} == {None}


def test_operations_are_the_operators(lives: Lives) -> None:
    operations: list[Operation] = records(lives.after, Operation)
    assert {(each.volume_id, each.caller_id) for each in operations} == {(None, None)}


# What holds afterwards


async def test_the_guards_are_those_of_a_fresh_database(old_url: str, copy: Copy) -> None:
    await migrated(old_url)
    async with copy("current") as fresh, bare(old_url) as one, bare(fresh) as other:
        assert await _triggers(one) == await _triggers(other)
        assert await value(one, "SELECT fingerprint FROM guard") == guards.fingerprint(one.dialect)
        assert await value(one, f"SELECT version_num FROM {VERSION_TABLE}") == HEAD
        for statement in ("DELETE FROM journal", "DELETE FROM vm", "UPDATE vm SET state = 'Running'"):
            with pytest.raises(Refused, match="interlock: "):
                await one.run(statement)


async def _triggers(database: Bare) -> list[tuple[Any, ...]]:
    query = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    }[database.dialect]
    return sorted(await database.rows(query))


async def test_opening_it_again_changes_nothing(old_url: str) -> None:
    after = await migrated(old_url)
    async with bare(old_url) as database:
        before = await _mark(database)
        assert await migrated(old_url) == after
        assert await _mark(database) == before


async def _mark(database: Bare) -> list[tuple[Any, ...]]:
    """Changes with the guards, which every migration writes; on SQLite with whatever is written."""
    return await database.rows(
        "PRAGMA data_version" if database.dialect == "sqlite" else "SELECT xmin, fingerprint FROM guard"
    )


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_the_connection_that_migrated_holds_rows_to_their_references_again(old_url: str) -> None:
    store = await Store.open(old_url, create=False)
    found: list[Any] = []
    # The writer has the pool's first connection: the one that migrated.
    for name in ("foreign_keys", "legacy_alter_table"):
        await store.read_between(found.extend, select(text(name)).select_from(text(f"pragma_{name}")))
    await store.close()
    assert [row[0] for row in found] == [1, 0]


async def test_views_and_triggers_of_others_are_still_there(old_url: str) -> None:
    async with bare(old_url) as database:
        await database.run("CREATE VIEW their_view AS SELECT vm.id FROM vm JOIN host ON host.id = vm.host_id")
        if database.dialect == "sqlite":
            await database.run("CREATE TRIGGER their_own AFTER DELETE ON vm BEGIN SELECT 1; END")
        else:
            body = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
            await database.run(f"CREATE FUNCTION their_own() {body}")
            await database.run("CREATE TRIGGER their_own AFTER DELETE ON vm FOR EACH ROW EXECUTE FUNCTION their_own()")
        seen = await value(database, "SELECT count(*) FROM their_view")
    await migrated(old_url)
    async with bare(old_url) as database:
        assert seen == await value(database, "SELECT count(*) FROM their_view") > 0
        assert "their_own" in [name for name, _ in await _triggers(database)]


# What goes wrong leaves it as it was


async def test_a_migration_that_fails_leaves_the_old_database(old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await asked(old_url, everything)
    async with bare(old_url) as database:
        guarded = await _triggers(database)
    right = guards.statements
    monkeypatch.setattr(guards, "statements", lambda dialect: [*right(dialect), "CREATE NONSENSE"])
    with pytest.raises(StoreError, match="NONSENSE"):
        await migrated(old_url)
    monkeypatch.undo()
    assert await asked(old_url, everything) == before
    async with bare(old_url) as database:
        assert await _triggers(database) == guarded
    assert (await migrated(old_url))[VERSION_TABLE] == [{"version_num": HEAD}]


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_rows_that_refer_to_nothing_are_told_before_anything_is_changed(empty_url: str) -> None:
    await make_old(empty_url, "PRAGMA defer_foreign_keys=ON", "UPDATE pod SET zone_id = 'nowhere'")
    before = await asked(empty_url, everything)
    with pytest.raises(StoreError, match="rows of pod refer to what is not there"):
        await migrated(empty_url)
    assert await asked(empty_url, everything) == before
