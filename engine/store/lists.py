"""Lists of what can be many, a page at a time, each page at the same cost however long the list is.

A list is walked along one index. A page ends at a key of it and the next begins behind that key, so that what others
insert or delete meanwhile neither hides nor repeats what was there all along. Of several filters one is walked along;
the others are asked of each row, and a page looks at `LOOKED_AT` rows at most for them: it may be short, or empty,
though more pages follow. Which filter that is, and what else a list knows, is in `walks.py`.

What the walked filter says is written as a span of the index's keys, and the order names all its columns. A planner
that is told `account_id = ? ORDER BY id LIMIT 100` may take the index of ids instead, and meet no VM of that account
for a million rows; of the span only the index that is meant gives the order.

Promises: every statement here reads a bounded number of rows, and finds them by an index (tests/test_plans.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Select, Table, select, tuple_

from interlock.engine.store.store import Store
from interlock.schema.errors import InvalidRequest

PAGE_MOST = 1000
"""Rows of one page at most. Too low: many round trips; too high: one caller holds the reader and much memory."""
LOOKED_AT = 2000
"""Rows that a page looks at for the filters that no index answers. Too low: a list of few among many takes many round
trips; too high: a page of it takes long."""
MEMBERS_AT_ONCE = 500
"""The same where the rows are found one by one, by ids that another table names."""

T = TypeVar("T")
Key = tuple[Any, ...]
Condition = ColumnElement[bool]


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """Another table names the ids that are listed, perhaps among others."""

    lead: Column[Any]
    value: str
    """What its first column must be."""
    column: Column[Any]
    """Which names the ids."""


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """How a list is walked."""

    table: Table
    key: tuple[Column[Any], ...]
    """Its order: columns of the table, the last of them unique."""
    lead: Column[Any] | None = None
    """The first column of the index, before those of the key, which is the same in all that is listed."""
    value: str | None = None
    """What it is; None: NULL."""
    along: tuple[Condition, ...] = ()
    """What else the index answers."""
    rest: tuple[Condition, ...] = ()
    """What is asked of each row."""
    backwards: bool = False
    members: Members | None = None


async def read_page(
    store: Store, fetch: Callable[[Select[Any]], Awaitable[list[T]]], walk: Walk, after: str | None, limit: int
) -> tuple[list[T], str | None]:
    """One page, and the `after` of the next; None: this is the last.

    Args:
        fetch: runs a query of the table's columns.
        after: what came with the page before; None: from the beginning.
        limit: 1 to `PAGE_MOST`.

    Raises:
        InvalidRequest: there is no such page.
    """
    if not 1 <= limit <= PAGE_MOST:
        raise InvalidRequest(f"a page has 1 to {PAGE_MOST} entries, not {limit}")
    begin = None if after is None else _key_in(walk, after)
    found, last = await (_chosen if walk.members is None else _named)(store, fetch, walk, begin, limit)
    if len(found) > limit:
        last = tuple(getattr(found[limit - 1], column.name) for column in walk.key)
    return found[:limit], None if last is None else _cursor(last)


async def _chosen(store: Store, fetch: Any, walk: Walk, after: Key | None, limit: int) -> tuple[list[Any], Key | None]:
    """One more than the page, or what is left up to a key."""
    edges = await store.rows(edge(walk, after)) if walk.rest else []
    until = tuple(edges[0]) if edges else None
    return await fetch(page(walk, after, until, limit + 1)), until


async def _named(store: Store, fetch: Any, walk: Walk, after: Key | None, limit: int) -> tuple[list[Any], Key | None]:
    most = MEMBERS_AT_ONCE if walk.rest else limit + 1
    ids = [row[0] for row in await store.rows(named(walk, after, most))]
    found = await fetch(among(walk, ids, limit + 1)) if ids else []
    return found, (ids[-1],) if len(ids) == most else None


# --- the statements


def page(walk: Walk, after: Key | None, until: Key | None, limit: int) -> Select[Any]:
    """The rows behind `after` and up to `until`, `limit` of them at most."""
    chosen = select(walk.table).where(*walk.along, *walk.rest, *_span(walk, after, until))
    return chosen.order_by(*_order(walk)).limit(limit)


def edge(walk: Walk, after: Key | None) -> Select[Any]:
    """The key of the last row that a page looks at; nothing if fewer are left. It reads the index alone."""
    keys = select(*walk.key).where(*walk.along, *_span(walk, after, None)).order_by(*_order(walk))
    return keys.offset(LOOKED_AT - 1).limit(1)


def named(walk: Walk, after: Key | None, limit: int) -> Select[Any]:
    """The ids behind `after` that the other table names, each once."""
    members = walk.members
    assert members is not None
    there = Walk(
        table=members.column.table,
        key=(members.column,),
        lead=members.lead,
        value=members.value,
        backwards=walk.backwards,
    )
    ids = select(members.column, members.lead).where(*_span(there, after, None)).distinct()
    return ids.order_by(*_order(there)).limit(limit)


def among(walk: Walk, ids: Sequence[str], limit: int) -> Select[Any]:
    """Of the rows with these ids, those that meet the rest."""
    return select(walk.table).where(walk.table.c.id.in_(ids), *walk.rest).order_by(*_order(walk)).limit(limit)


def _order(walk: Walk) -> Sequence[ColumnElement[Any]]:
    columns = walk.key if walk.lead is None else (walk.lead, *walk.key)
    return [column.desc() if walk.backwards else column for column in columns]


def _span(walk: Walk, after: Key | None, until: Key | None) -> Iterable[Condition]:
    """From behind one key up to another; without one, from or to the end of what has the leading column."""
    begin, end = (_less, _more) if walk.backwards else (_more, _less)
    if walk.lead is not None and walk.value is None:
        yield walk.lead.is_(None)
    if after is not None:
        yield begin(*_pair(walk, after), strict=True)
    elif walk.value is not None:
        yield begin(walk.lead, walk.value, strict=False)
    if until is not None:
        yield end(*_pair(walk, until), strict=False)
    elif walk.value is not None:
        yield end(walk.lead, walk.value, strict=False)


def _less(columns: Any, values: Any, strict: bool) -> Condition:
    less: Condition = columns < values if strict else columns <= values
    return less


def _more(columns: Any, values: Any, strict: bool) -> Condition:
    more: Condition = columns > values if strict else columns >= values
    return more


def _pair(walk: Walk, key: Key) -> tuple[Any, Any]:
    columns, values = walk.key, key
    if walk.lead is not None and walk.value is not None:
        columns, values = (walk.lead, *columns), (walk.value, *values)
    return (columns[0], values[0]) if len(columns) == 1 else (tuple_(*columns), tuple_(*values))


# --- where a page ends, as its reader holds it


def _cursor(key: Key) -> str:
    # The id comes first: a name may hold anything.
    return ":".join((key[-1], *key[:-1]))


def _key_in(walk: Walk, after: str) -> Key:
    if len(walk.key) == 1:
        return (after,)
    last, there, name = after.partition(":")
    if not there:
        raise InvalidRequest(f"{after!r} is not where a page by name ended; take what came with the page before it")
    return name, last
