"""What one transaction writes: the rows of many decisions, grouped so that each table takes one statement.

Pure arithmetic over values: no connection here. Order matters and is the same for every batch: the journal first
(guards look for its rows), then new rows, parents before children, then changed rows, children before parents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from interlock.engine.core.decision import Change, Decision
from interlock.engine.store.statements import INSERT_ORDER, UPDATE_ORDER, Statement, Statements
from interlock.schema.records import RARE
from interlock.schema.rows import columns_of
from interlock.schema.transition import Entry


class Job(msgspec.Struct, frozen=True):
    """One statement and the rows to run it with."""

    sql: str
    rows: list[tuple[Any, ...]]


def jobs(
    decisions: Iterable[Decision], first_seq: int, statements: Statements, of_cloud: Mapping[int, Sequence[Entry]]
) -> Sequence[Job]:
    """The statements that write `decisions`, journal rows numbered from `first_seq`.

    Args:
        of_cloud: by the number of a decision, rows of the cloud that come before its own.
    """
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    entries = rows[statements.journal.sql]
    for number, decision in enumerate(decisions):
        entries += [
            (first_seq + len(entries) + each, *msgspec.structs.astuple(row))
            for each, row in enumerate(of_cloud.get(number, ()))
        ]
        rows[statements.group.sql] += [columns_of(group, statements.group.order) for group in decision.groups]
        # All changes of one record go by one statement: two would not keep their order.
        rare = {change.after.id for change in decision.changes if _is_rare(change)}
        for change in decision.changes:
            entries.append((first_seq + len(entries), *msgspec.structs.astuple(change.entry)))
            statement = _statement(change, statements, change.after.id in rare)
            rows[statement.sql].append(columns_of(change.after, statement.order))
    # A machine without rare changes has one statement for both kinds: it is run once.
    return [Job(sql, rows[sql]) for sql in dict.fromkeys(_order(statements)) if rows[sql]]


def _is_rare(change: Change) -> bool:
    before, after = change.before, change.after
    return before is not None and any(
        getattr(before, name) is not getattr(after, name) for name in RARE[change.machine]
    )


def _statement(change: Change, statements: Statements, rare: bool) -> Statement:
    if change.before is None:
        return statements.inserts[change.machine]
    return (statements.rewrites if rare else statements.updates)[change.machine]


def _order(statements: Statements) -> Iterable[str]:
    yield statements.journal.sql
    yield statements.group.sql
    yield from (statements.inserts[name].sql for name in INSERT_ORDER)
    for name in UPDATE_ORDER:
        yield statements.updates[name].sql
        yield statements.rewrites[name].sql
