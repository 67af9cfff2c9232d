"""Loading a cloud description where something is already: nothing that VMs stand on moves, nothing is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from interlock import CloudDescription, InvalidRequest
from interlock.embed.loading import FIXED, rows_after, write_described
from interlock.engine.store import store as stores
from interlock.engine.store.store import Store
from interlock.schema.cloud import PLACES, Account, Place, SecurityGroup
from interlock.schema.rows import DESCRIBED, reader
from interlock.schema.tables import metadata
from tests.clouds import ADVANCED, BASIC, NET, RANGES, RULE, Document, base, documents, parsed, toml


def after(rows: dict[str, list[dict[str, Any]]]) -> list[Place]:
    """The places that a database has in which there are these rows."""
    found = []
    for name, kind in PLACES.items():
        fields = kind.__struct_fields__
        found += [reader(kind)([row[each] if each in DESCRIBED[name] else 0 for each in fields]) for row in rows[name]]
    return found


@given(documents())
def test_loading_again_changes_nothing(document: Document) -> None:
    cloud = CloudDescription.parse(toml(document))
    first = rows_after(cloud, [])
    again = rows_after(cloud, after(first))
    ids = {place.id for place in cloud.implied}
    for name in ("domain", "account"):
        first[name] = [row for row in first[name] if row["id"] not in ids]
    assert again == first


def versions(rows: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """By group."""
    return {row["id"]: row["version"] for row in rows["security_group"]}


def test_changed_and_new_groups_get_versions_above_all_and_the_others_keep_theirs() -> None:
    groups = [{"name": name, "account": "alice", "egress": [{"protocol": "all", "to": "::/0"}]} for name in "abc"]
    first = rows_after(parsed({"security_groups": groups}), [])
    assert versions(first) == {"alice/a": 1, "alice/b": 2, "alice/c": 3}
    changed = [{**groups[0], "egress": []}, groups[1], groups[2], {**groups[0], "name": "d"}]
    second = rows_after(parsed({"security_groups": changed}), after(first))
    assert versions(second) == {"alice/a": 4, "alice/b": 2, "alice/c": 3, "alice/d": 5}


def test_a_group_that_is_only_in_the_database_counts() -> None:
    made = SecurityGroup(id="bob/default", account_id="bob", name="default", version=9)
    assert versions(rows_after(parsed({}), [*parsed({}).places, made])) == {"alice/web": 1}
    assert versions(rows_after(parsed({f"{RULE}/ports": "23"}), [*parsed({}).places, made])) == {"alice/web": 10}


@pytest.mark.parametrize(
    ("kind", "column"),
    [pytest.param(kind, name, id=f"{kind.__name__}-{name}") for kind in FIXED for name in FIXED[kind]],
)
def test_what_vms_stand_on_does_not_move(kind: type[Place], column: str) -> None:
    cloud = parsed({})
    place = next(each for each in reversed(cloud.places) if type(each) is kind)
    value = 12345 if isinstance(getattr(place, column), int) else "other"
    before = msgspec.structs.replace(place, **{column: value})
    with pytest.raises(InvalidRequest, match=f"{place.id} has {column} {value}, which cannot become"):
        rows_after(cloud, [before if each is place else each for each in cloud.places])


UNION: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({f"{NET}/vlan": 7}, {f"{NET}/name": "new", f"{NET}/vlan": 7}, "network new has vlan 7, as has net|net has .* new"),
    (
        {},
        {f"{BASIC}/networks/0/name": "new", f"{RANGES}/0/name": "r3", f"{RANGES}/1/name": "r4"},
        "exactly one network, not guest and new",
    ),
    ({}, {f"{RANGES}/1/name": "new"}, "range new, from 10.2.2.1, overlaps range r2|r2, .* overlaps range new"),
]


@pytest.mark.parametrize(("first", "second", "message"), UNION)
def test_the_rules_hold_for_the_file_and_the_database_together(
    first: dict[str, Any], second: dict[str, Any], message: str
) -> None:
    there = parsed(first).places
    with pytest.raises(InvalidRequest, match=message):
        rows_after(parsed(second), there)


async def _only_tables(engine: AsyncEngine, *, create: bool) -> None:
    """In place of the migrations: the tables, without triggers, so that counters may be set here."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


@pytest.fixture
async def store(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A database that has the tables and nothing in them."""
    monkeypatch.setattr(stores, "bring_up_to_date", _only_tables)
    opened = await Store.open(empty_url)
    yield opened
    await opened.close()


async def there(store: Store) -> dict[str, dict[str, Any]]:
    """All places by kind and id."""
    return {name: {place.id: place for place in found} for name, found in (await store.places()).items()}


async def test_what_is_loaded_is_there(store: Store) -> None:
    cloud = parsed({})
    await write_described(cloud, store)
    assert sorted(map(repr, cloud.places)) == sorted(
        repr(place) for found in (await there(store)).values() for place in found.values()
    )
    above = (await store.rows(metadata.tables["domain_above"].select())) or []
    assert {tuple(row) for row in above} == {
        *(("ROOT", "ROOT"), ("acme", "acme"), ("acme", "ROOT")),
        *(("sales", "sales"), ("sales", "acme"), ("sales", "ROOT")),
    }


async def test_loading_again_resets_no_counter_and_forgets_nothing(store: Store) -> None:
    limited = {"accounts": [*base()["accounts"], {"name": "system", "limits": {"vms": 5}}]}
    await write_described(parsed({**limited, "settings/expunge.delay": 7}), store)
    async with store.engine.begin() as connection:
        for name, column in (("account", "vms_used"), ("domain", "cores_used"), ("host", "cpu_used_mhz")):
            await connection.execute(update(metadata.tables[name]).values({column: 3}))
    before = await there(store)
    await write_described(parsed({"settings/instance.name": "QA"}), store)
    now = await there(store)
    assert now["account"] == before["account"] and now["domain"] == before["domain"] and now["host"] == before["host"]
    assert {each.vms_used for each in now["account"].values()} == {3}
    system: Account = now["account"]["system"]
    assert system.vms_limit == 5
    assert {name: row.value for name, row in now["setting"].items()} == {
        "expunge.delay@global": "7",
        "instance.name@global": '"QA"',
    }


async def test_limits_and_settings_that_the_file_says_anew_are_changed(store: Store) -> None:
    first = {"accounts": [{**base()["accounts"][0], "limits": {"vms": 5}}, {"name": "bob"}]}
    await write_described(parsed({**first, "settings/expunge.delay": 7}), store)
    await write_described(parsed({"settings/expunge.delay": 8}), store)
    now = await there(store)
    assert now["account"]["alice"].vms_limit is None
    assert now["setting"]["expunge.delay@global"].value == "8"


async def test_a_refused_description_changes_nothing(store: Store) -> None:
    await write_described(parsed({}), store)
    before = await there(store)
    wrong = parsed({"templates/0/size_mib": 7, "offerings/0/cpu_cores": 9, f"{RULE}/ports": "23"})
    with pytest.raises(InvalidRequest, match="template t has size_mib 100, which cannot become 7: linked disks stand"):
        await write_described(wrong, store)
    assert await there(store) == before


async def test_what_the_database_refuses_changes_nothing(store: Store) -> None:
    await write_described(parsed({}), store)
    async with store.engine.begin() as connection:
        await connection.execute(update(metadata.tables["host"]).values(memory_used_mib=4000))
    before = await there(store)
    smaller = parsed({f"{ADVANCED}/pods/0/clusters/0/hosts/0/memory_mib": 100, "offerings/0/cpu_cores": 9})
    with pytest.raises(InvalidRequest, match="move or destroy VMs first"):
        await write_described(smaller, store)
    assert await there(store) == before


async def test_groups_that_change_at_the_same_time_get_different_versions(store: Store, empty_url: str) -> None:
    """A VM in both is told of both, whichever it was told of before."""
    await write_described(parsed({}), store)
    other = await Store.open(empty_url)
    news = [parsed({"security_groups/0/name": f"new-{number}"}) for number in range(8)]
    await asyncio.gather(*(write_described(cloud, (store, other)[at % 2]) for at, cloud in enumerate(news)))
    await other.close()
    versions = sorted(group.version for group in (await there(store))["security_group"].values())
    assert versions == list(range(1, 10))
