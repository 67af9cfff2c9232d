"""The database refuses by itself to place a VM where its strict affinity groups do not let it, whoever asks.

Bare SQL, as in `test_guards.py`. The indexes of who is in which group follow what the VMs list.
"""

from __future__ import annotations

import pytest

from interlock.schema.cloud import APART, APART_IF_POSSIBLE, DEDICATED, TOGETHER, TOGETHER_IF_POSSIBLE
from interlock.schema.tables.derived import MEMBERSHIPS
from tests.bare import literal
from tests.hand import Hand

KEYS = ("host_id", "target_host_id")
TAKEN = "another VM of one of its host anti-affinity groups is on that host"
ELSEWHERE = "the other VMs of one of its host affinity groups are on another host"
CLAUSES = ["OR IGNORE", "OR FAIL", "OR REPLACE", "OR ABORT"]

every_key = pytest.mark.parametrize("key", KEYS)
every_index = pytest.mark.parametrize(("table", "column"), MEMBERSHIPS.items(), ids=list(MEMBERSHIPS))
on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


async def two_in(hand: Hand, kind: str) -> None:
    """Two VMs, `one` and `other`, in a group of a kind; `one` is on h-1. There is room everywhere."""
    await hand.run(
        "UPDATE host SET cpu_mhz = 100000, memory_mib = 1000000",
        f"INSERT INTO affinity_group (id, kind) VALUES ('g', {literal(kind)})",
    )
    for name in ("one", "other"):
        await hand.run(*hand.born("vm", id=name, name=name, affinity_groups='["g"]'))
    await put(hand, "one", host_id="h-1")


async def put(hand: Hand, vm: str, **columns: str | None) -> None:
    """Change where a VM is."""
    await hand.run(*await hand.change("vm", vm, **columns))


async def refused(hand: Hand, vm: str, how: str = "UPDATE", /, **columns: str | None) -> str:
    """What the database says to where a VM would go."""
    return await hand.refusal(*await hand.change("vm", vm, how, **columns))


@every_key
async def test_vms_that_run_apart_are_not_put_on_one_host(hand: Hand, key: str) -> None:
    await two_in(hand, APART)
    assert f"interlock: affinity: {TAKEN}" in await refused(hand, "other", **{key: "h-1"})
    await put(hand, "other", **{key: "h-2"})


@every_key
async def test_where_a_vm_migrates_to_it_is_as_well(hand: Hand, key: str) -> None:
    await two_in(hand, APART)
    await put(hand, "one", target_host_id="h-2")
    for host in ("h-1", "h-2"):
        assert TAKEN in await refused(hand, "other", **{key: host})
    await put(hand, "one", host_id="h-2", target_host_id=None)
    await put(hand, "other", **{key: "h-1"})


@every_key
async def test_vms_that_run_together_are_not_put_on_two_hosts(hand: Hand, key: str) -> None:
    await two_in(hand, TOGETHER)
    assert f"interlock: affinity: {ELSEWHERE}" in await refused(hand, "other", **{key: "h-2"})
    await put(hand, "other", **{key: "h-1"})
    await put(hand, "other", host_id="h-1", target_host_id=None)
    assert ELSEWHERE in await refused(hand, "one", target_host_id="h-2")


@every_key
async def test_while_one_migrates_nobody_joins_those_that_run_together(hand: Hand, key: str) -> None:
    """He would be alone, wherever the migration ends."""
    await two_in(hand, TOGETHER)
    await put(hand, "one", target_host_id="h-2")
    for host in ("h-1", "h-2"):
        assert ELSEWHERE in await refused(hand, "other", **{key: host})
    await put(hand, "one", host_id="h-2", target_host_id=None)
    await put(hand, "other", **{key: "h-2"})


@pytest.mark.parametrize("kind", [APART, TOGETHER])
async def test_a_vm_is_not_in_its_own_way(hand: Hand, kind: str) -> None:
    """It stays where it is, migrates, and comes back, as long as the others are nowhere."""
    await two_in(hand, kind)
    await put(hand, "one", last_host_id="h-1")
    await put(hand, "one", target_host_id="h-2")
    await put(hand, "one", host_id="h-2", target_host_id=None)
    await put(hand, "one", host_id=None)
    await put(hand, "one", host_id="h-1")


@pytest.mark.parametrize("kind", [APART, TOGETHER])
async def test_who_has_left_the_host_is_in_nobodys_way(hand: Hand, kind: str) -> None:
    await two_in(hand, kind)
    await put(hand, "one", host_id=None)
    await put(hand, "other", host_id="h-1" if kind == APART else "h-2")


@pytest.mark.parametrize("kind", [APART_IF_POSSIBLE, TOGETHER_IF_POSSIBLE, DEDICATED])
async def test_what_is_only_liked_is_not_insisted_on(hand: Hand, kind: str) -> None:
    await two_in(hand, kind)
    await put(hand, "other", host_id="h-1", target_host_id="h-2")


async def test_vms_without_a_common_group_do_not_mind_each_other(hand: Hand) -> None:
    await two_in(hand, APART)
    await hand.run(f"INSERT INTO affinity_group (id, kind) VALUES ('h', {literal(APART)})")
    await put(hand, "other", affinity_groups='["h"]')
    await put(hand, "other", host_id="h-1")


@every_key
async def test_each_of_several_groups_holds(hand: Hand, key: str) -> None:
    await two_in(hand, APART)
    await hand.run(f"INSERT INTO affinity_group (id, kind) VALUES ('h', {literal(TOGETHER)})")
    await hand.run(*hand.born("vm", id="third", name="third", affinity_groups='["h"]'))
    await put(hand, "third", host_id="h-2")
    await put(hand, "other", affinity_groups='["g","h"]')
    assert TAKEN in await refused(hand, "other", **{key: "h-1"})
    await put(hand, "other", **{key: "h-2"})


# Groups are joined and left on no host


@every_key
@pytest.mark.parametrize("groups", ["[]", '["g","h"]'])
async def test_a_vm_changes_its_groups_only_on_no_host(hand: Hand, key: str, groups: str) -> None:
    """Who joined a group afterwards would be where it does not let him."""
    await two_in(hand, APART)
    said = await refused(hand, "other", affinity_groups=groups, **{key: "h-2"})
    assert "interlock: affinity: a VM joins and leaves affinity groups only while it is on no host" in said
    assert "joins and leaves" in await refused(hand, "one", affinity_groups=groups)
    await put(hand, "one", affinity_groups=groups, host_id=None)


@every_key
async def test_a_new_vm_is_not_put_into_a_group_and_on_a_host_at_once(hand: Hand, key: str) -> None:
    await two_in(hand, APART)
    said = await hand.refusal(*hand.born("vm", affinity_groups='["g"]', **{key: "h-1"}))
    assert "interlock: affinity" in said


# The indexes follow


async def members(hand: Hand, table: str) -> set[tuple[str, str]]:
    """Who is in which group."""
    return {(group, vm) for group, vm in await hand.database.rows(f"SELECT group_id, vm_id FROM {table}")}


@every_index
async def test_the_index_of_members_follows_what_vms_list(hand: Hand, table: str, column: str) -> None:
    before = await members(hand, table)
    await hand.run(*hand.born("vm", **{column: '["a","b","a"]'}))
    await hand.run(*hand.born("vm", id="other", name="other", **{column: '["b"]'}))
    others = before | {("b", "other")}
    assert await members(hand, table) == others | {("a", "loose-vm"), ("b", "loose-vm")}
    for listed in (["b", "c"], ["c", "c"], [], ["d"]):
        await put(hand, "loose-vm", **{column: "[" + ",".join(f'"{each}"' for each in listed) + "]"})
        assert await members(hand, table) == others | {(each, "loose-vm") for each in listed}


@every_index
async def test_who_is_expunged_is_in_no_group(hand: Hand, table: str, column: str) -> None:
    before = await members(hand, table)
    await hand.run(*hand.born("vm", **{column: '["g"]'}))
    await hand.walk("vm", "loose-vm", "Expunging")
    assert await members(hand, table) == before | {("g", "loose-vm")}
    await hand.move("vm", "loose-vm", "Expunged")
    assert await members(hand, table) == before


# No conflict clause gets round it


@on_sqlite
@pytest.mark.parametrize("how", CLAUSES)
@every_key
async def test_no_conflict_clause_gets_round_a_group(hand: Hand, key: str, how: str) -> None:
    for kind, host, said in ((APART, "h-1", TAKEN), (TOGETHER, "h-2", ELSEWHERE)):
        async with hand.undone():
            await two_in(hand, kind)
            assert said in await refused(hand, "other", f"UPDATE {how}", **{key: host})
            both = {"affinity_groups": '["h"]', key: host}
            assert "joins and leaves" in await refused(hand, "other", f"UPDATE {how}", **both)


@on_sqlite
@pytest.mark.parametrize("how", CLAUSES)
@every_index
async def test_no_conflict_clause_keeps_a_member_out_of_the_index(
    hand: Hand, table: str, column: str, how: str
) -> None:
    before = await members(hand, table)
    entry, insert = hand.born("vm", **{column: '["a","a","b"]'})
    await hand.run(entry, insert.replace("INSERT", f"INSERT {how}", 1))
    assert await members(hand, table) == before | {("a", "loose-vm"), ("b", "loose-vm")}
    await hand.run(*await hand.change("vm", "loose-vm", f"UPDATE {how}", **{column: '["b","b","c"]'}))
    assert await members(hand, table) == before | {("b", "loose-vm"), ("c", "loose-vm")}
