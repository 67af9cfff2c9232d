"""The database refuses by itself more than an account, or a domain above it, may have, whoever asks.

Bare SQL, as in `test_guards.py`. The domains here are `west` in `eu` in ROOT; account `umbrella` is in the lowest,
`globex` in the middle, and `acme`, whose VMs run, in ROOT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from interlock.schema.holdings import LIMITS, Limited
from tests.bare import Bare, bare, value
from tests.conftest import Copy
from tests.hand import LOOSE, Hand, Row
from tests.ledger import assert_counted

TREE = (
    "INSERT INTO domain (id, parent_id) VALUES ('eu', 'ROOT'), ('west', 'eu')",
    "INSERT INTO domain_above (domain_id, above_id) VALUES ('eu', 'eu'), ('eu', 'ROOT')",
    "INSERT INTO domain_above (domain_id, above_id) VALUES ('west', 'west'), ('west', 'eu'), ('west', 'ROOT')",
    "INSERT INTO account (id, domain_id, role, enabled) VALUES ('umbrella', 'west', 'user', true)",
    "INSERT INTO account (id, domain_id, role, enabled) VALUES ('globex', 'eu', 'user', true)",
)
LEVELS = (("account", "umbrella"), ("domain", "west"), ("domain", "eu"), ("domain", "ROOT"))
"""Whose limits hold for what `umbrella` gets."""

every_limit = pytest.mark.parametrize("rule", LIMITS, ids=lambda rule: rule.thing)
every_size = pytest.mark.parametrize("rule", [rule for rule in LIMITS if rule.amount], ids=lambda rule: rule.thing)
every_clause = pytest.mark.parametrize("how", ["OR IGNORE", "OR FAIL", "OR REPLACE", "OR ABORT"])
on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@pytest.fixture(name="hand")
async def _hand(hand: Hand) -> Hand:
    """A hand on a database with these domains and accounts as well."""
    await hand.run(*TREE)
    return hand


async def has(hand: Hand, rule: Limited) -> list[int]:
    """What is counted at each level."""
    return [
        await value(hand.database, f"SELECT {rule.used} FROM {table} WHERE id = '{name}'") for table, name in LEVELS
    ]


async def allow(hand: Hand, table: str, name: str, rule: Limited, more: int) -> None:
    """Allow so much more than there is."""
    await hand.run(f"UPDATE {table} SET {rule.total} = {rule.used} + {more} WHERE id = '{name}'")


def named(rule: Limited, name: str) -> Row:
    """The name of an entity, if its kind has names."""
    return {} if rule.holder == "nic" else {"name": name}


async def one(hand: Hand, rule: Limited, **columns: Any) -> None:
    """An entity `one` of the kind that the rule counts."""
    if rule.holder != "vm":
        await hand.loose()
    await hand.run(*hand.born(rule.holder, id="one", **named(rule, "one"), **columns))


def size_of(rule: Limited) -> int:
    """What a loose entity counts for."""
    return 1 if rule.amount is None else int(LOOSE[rule.holder][rule.amount])


# One too many is refused


@every_limit
async def test_one_more_than_a_limit_is_refused_to_a_new_entity(hand: Hand, rule: Limited) -> None:
    for table, name in LEVELS:
        async with hand.undone():
            if rule.holder != "vm":
                await hand.loose()
            await allow(hand, table, name, rule, size_of(rule) - 1)
            new = hand.born(rule.holder, charged_to="umbrella")
            said = await hand.refusal(*new)
            assert f"interlock: limit: {table}_{rule.thing}_within_limit: the {table} may have no more" in said
            await allow(hand, table, name, rule, size_of(rule))
            await hand.run(*new)
            await assert_counted(hand.database)


@every_limit
async def test_one_more_than_a_limit_is_refused_to_what_changes_hands(hand: Hand, rule: Limited) -> None:
    for table, name in LEVELS:
        async with hand.undone():
            await one(hand, rule, charged_to=None)
            await allow(hand, table, name, rule, size_of(rule) - 1)
            change = await hand.change(rule.holder, "one", charged_to="umbrella")
            assert f"{table}_{rule.thing}_within_limit" in await hand.refusal(*change)
            await allow(hand, table, name, rule, size_of(rule))
            await hand.run(*change)
            await assert_counted(hand.database)


@every_size
async def test_what_is_counted_does_not_grow_over_a_limit(hand: Hand, rule: Limited) -> None:
    for table, name in LEVELS:
        async with hand.undone():
            await one(hand, rule, charged_to="umbrella")
            await allow(hand, table, name, rule, 2)
            assert rule.amount is not None
            grown = await hand.change(rule.holder, "one", **{rule.amount: size_of(rule) + 3})
            assert f"{table}_{rule.thing}_within_limit" in await hand.refusal(*grown)
            await hand.run(*await hand.change(rule.holder, "one", **{rule.amount: size_of(rule) + 2}))
            await assert_counted(hand.database)


@every_limit
async def test_what_counts_for_nobody_passes_any_limit(hand: Hand, rule: Limited) -> None:
    await hand.run(*(f"UPDATE {table} SET {rule.total} = 0 WHERE id = '{name}'" for table, name in LEVELS))
    before = await has(hand, rule)
    if rule.holder != "vm":
        await hand.run(*hand.born("vm", charged_to=None))
    await hand.run(*hand.born(rule.holder, charged_to=None))
    assert await has(hand, rule) == before


# A limit may be lowered


@every_limit
async def test_a_limit_below_what_there_is_refuses_only_more(hand: Hand, rule: Limited) -> None:
    for table, name in LEVELS:
        async with hand.undone():
            await one(hand, rule, charged_to="umbrella")
            if rule.holder != "vm":
                await hand.run(*hand.born("vm", id="other-vm", name="other", charged_to=None))
            others = {"id": "other", "charged_to": "umbrella"} | named(rule, "another")
            await hand.run(*hand.born(rule.holder, **others))
            await hand.run(f"UPDATE {table} SET {rule.total} = 0 WHERE id = '{name}'")
            third = {"id": "third", "charged_to": "umbrella"} | named(rule, "third")
            assert f"{table}_{rule.thing}_within_limit" in await hand.refusal(*hand.born(rule.holder, **third))
            await hand.run(*await hand.change(rule.holder, "other", charged_to=None))
            if rule.amount is not None:
                await hand.run(*await hand.change(rule.holder, "one", **{rule.amount: size_of(rule) - 1}))
            await hand.run(*await hand.change(rule.holder, "one"))
            await assert_counted(hand.database)


# What is counted


@every_limit
async def test_what_is_counted_follows_its_account_to_all_domains_above(hand: Hand, rule: Limited) -> None:
    await one(hand, rule, charged_to=None)
    before, size = await has(hand, rule), size_of(rule)
    for who, counted in {
        "umbrella": (1, 1, 1, 1),
        "globex": (0, 0, 1, 1),
        "acme": (0, 0, 0, 1),
        None: (0, 0, 0, 0),
    }.items():
        await hand.run(*await hand.change(rule.holder, "one", charged_to=who))
        assert await has(hand, rule) == [old + size * each for old, each in zip(before, counted, strict=True)]
        await assert_counted(hand.database)


@every_size
async def test_a_changed_size_moves_the_counters_by_the_difference(hand: Hand, rule: Limited) -> None:
    await one(hand, rule, charged_to="umbrella")
    before, size = await has(hand, rule), size_of(rule)
    assert rule.amount is not None
    for more in (7, 2, 0):
        await hand.run(*await hand.change(rule.holder, "one", **{rule.amount: size + more}))
        assert await has(hand, rule) == [old + more for old in before]
    await hand.run(*await hand.change(rule.holder, "one", **{rule.amount: size + 5, "charged_to": "globex"}))
    assert await has(hand, rule) == [old + each for old, each in zip(before, (-size, -size, 5, 5), strict=True)]
    await assert_counted(hand.database)


@every_limit
async def test_nothing_is_counted_below_zero(hand: Hand, rule: Limited) -> None:
    for table, name in LEVELS:
        async with hand.undone():
            said = await hand.refusal(f"UPDATE {table} SET {rule.used} = -1 WHERE id = '{name}'")
            assert f"interlock: ledger: {rule.used} of this {table} would fall below zero" in said


# No conflict clause gets round it


@on_sqlite
@every_clause
async def test_no_conflict_clause_passes_a_limit(hand: Hand, how: str) -> None:
    for table, name in LEVELS:
        async with hand.undone():
            for rule in LIMITS:
                async with hand.undone():
                    await one(hand, rule, charged_to=None)
                    await allow(hand, table, name, rule, size_of(rule) - 1)
                    change = await hand.change(rule.holder, "one", f"UPDATE {how}", charged_to="umbrella")
                    assert f"{table}_{rule.thing}_within_limit" in await hand.refusal(*change)
                    columns = {"id": "two", "charged_to": "umbrella"} | named(rule, "second")
                    entry, insert = hand.born(rule.holder, **columns)
                    new = insert.replace("INSERT", f"INSERT {how}", 1)
                    assert f"{table}_{rule.thing}_within_limit" in await hand.refusal(entry, new)


@on_sqlite
@pytest.mark.parametrize("how", ["", "OR IGNORE", "OR FAIL", "OR REPLACE", "OR ABORT"])
@pytest.mark.parametrize("holder", ["vm", "nic", "volume"])
async def test_nobody_who_is_not_there_is_charged(hand: Hand, holder: str, how: str) -> None:
    """Foreign keys hold on SQLite only for connections that ask for them."""
    rule = next(each for each in LIMITS if each.holder == holder)
    await one(hand, rule, charged_to=None)
    change = await hand.change(holder, "one", f"UPDATE {how}", charged_to="nobody")
    assert "interlock: ledger: what charged_to names is no account" in await hand.refusal(*change)


# At random


turns = st.lists(
    st.tuples(
        st.sampled_from(["vm", "volume", "nic"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from([None, "umbrella", "globex", "acme"]),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=12,
)
ceilings = st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from(LIMITS), st.integers(0, 12)), max_size=4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(turns=turns, lowered=ceilings)
async def test_whatever_changes_hands_or_size_what_is_counted_is_what_there_is(
    copy: Copy, turns: Sequence[tuple[str, str, str | None, int]], lowered: Sequence[Any]
) -> None:
    async with copy("lived") as url, bare(url) as database:
        hand = Hand(database)
        await hand.run(*TREE, *hand.born("vm", charged_to=None))
        for machine in ("vm", "volume", "nic"):
            for name in ("one", "two"):
                named = {} if machine == "nic" else {"name": f"any-{name}"}
                await hand.run(*hand.born(machine, id=f"{machine}-{name}", charged_to=None, **named))
        for (table, name), rule, most in lowered:
            await hand.run(f"UPDATE {table} SET {rule.total} = {most} WHERE id = '{name}'")
        for machine, name, who, size in turns:
            await _turn(hand, machine, f"{machine}-{name}", {"charged_to": who, **_sized(machine, size)})
            await assert_counted(database)


def _sized(machine: str, size: int) -> Row:
    """The columns that say how much an entity is."""
    return {rule.amount: size for rule in LIMITS if rule.holder == machine and rule.amount}


async def _turn(hand: Hand, machine: str, entity: str, columns: Row) -> None:
    """Change it, if the limits let it; they are read again here, from the rows, and have to agree."""
    row = await hand.row(machine, entity)
    may = await _may(hand.database, machine, row, {**row, **columns})
    change = await hand.change(machine, entity, **columns)
    event("may" if may else "may not")
    if may:
        await hand.run(*change)
    else:
        assert "within_limit" in await hand.refusal(*change)


async def _may(database: Bare, machine: str, before: Row, after: Row) -> bool:
    """Whether no budget would have more than it had, and more than it may have.

    What it gives back comes first, as in the database: leaving one account for another of the same domain frees there.
    """
    for rule in (each for each in LIMITS if each.holder == machine):
        for table, name in (*LEVELS, ("account", "globex"), ("account", "acme")):
            [(used, most)] = await database.rows(f"SELECT {rule.used}, {rule.total} FROM {table} WHERE id = '{name}'")
            gone, come = (_counts(rule, row, table, name) for row in (before, after))
            start = used if before["charged_to"] == after["charged_to"] else used - gone
            if most is not None and used - gone + come > max(most, start):
                return False
    return True


BELOW = {"ROOT": ("acme", "globex", "umbrella"), "eu": ("globex", "umbrella"), "west": ("umbrella",)}


def _counts(rule: Limited, row: Row, table: str, name: str) -> int:
    """What an entity counts for at one level."""
    if row["charged_to"] not in (BELOW[name] if table == "domain" else (name,)):
        return 0
    return 1 if rule.amount is None else int(row[rule.amount])
