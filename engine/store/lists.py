"""Lists of what can be many, a page at a time, each page at the same cost however long the list is.

A list is walked along one index. A page ends at a key of it and the next begins behind that key, so that what others
insert or delete meanwhile neither hides nor repeats what was there all along. Of several filters one is walked along;
the others are asked of each row, and a page looks at `LOOKED_AT` rows at most for them: it may be short, or empty,
though more pages follow. Which filter that is, and what else a list knows, is in `walks.py`.

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
    """Another table names the ids that are listed, perhaps among others: its column of them, and which of its rows."""

    column: Column[Any]
    where: Condition


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """How a list is walked."""

    table: Table
    key: tuple[ColumnElement[Any], ...]
    """Its order: columns of the table, the last of them unique."""
    along: tuple[Condition, ...] = ()
    """What the index answers."""
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
    span = [*_behind(walk, after), *_up_to(walk, until)]
    return select(walk.table).where(*walk.along, *walk.rest, *span).order_by(*_order(walk)).limit(limit)


def edge(walk: Walk, after: Key | None) -> Select[Any]:
    """The key of the last row that a page looks at; nothing if fewer are left. It reads the index alone."""
    keys = select(*walk.key).where(*walk.along, *_behind(walk, after)).order_by(*_order(walk))
    return keys.offset(LOOKED_AT - 1).limit(1)


def named(walk: Walk, after: Key | None, limit: int) -> Select[Any]:
    """The ids behind `after` that the other table names, each once."""
    assert walk.members is not None
    column = walk.members.column
    later = [] if after is None else [column < after[0] if walk.backwards else column > after[0]]
    order = column.desc() if walk.backwards else column
    return select(column).where(walk.members.where, *later).distinct().order_by(order).limit(limit)


def among(walk: Walk, ids: Sequence[str], limit: int) -> Select[Any]:
    """Of the rows with these ids, those that meet the rest."""
    return select(walk.table).where(walk.table.c.id.in_(ids), *walk.rest).order_by(*_order(walk)).limit(limit)


def _behind(walk: Walk, key: Key | None) -> Iterable[Condition]:
    if key is not None:
        columns, values = _pair(walk, key)
        yield columns < values if walk.backwards else columns > values


def _up_to(walk: Walk, key: Key | None) -> Iterable[Condition]:
    if key is not None:
        columns, values = _pair(walk, key)
        yield columns >= values if walk.backwards else columns <= values


def _pair(walk: Walk, key: Key) -> tuple[Any, Any]:
    return (walk.key[0], key[0]) if len(key) == 1 else (tuple_(*walk.key), tuple_(*key))


def _order(walk: Walk) -> Sequence[ColumnElement[Any]]:
    return [column.desc() if walk.backwards else column for column in walk.key]


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
