"""What one transaction writes: the rows of many decisions, grouped so that each table takes one statement.

Pure arithmetic over values: no connection here. Order matters and is the same for every batch: the journal first
(guards look for its rows), then new rows, parents before children, then changed rows, children before parents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, is_not
from typing import Any

import msgspec

from interlock.engine.core.decision import Change, Decision
from interlock.engine.store.statements import INSERT_ORDER, UPDATE_ORDER, Statement, Statements
from interlock.schema.records import RARE
from interlock.schema.rows import columns_of
from interlock.schema.transition import Entry


class Job(msgspec.Struct, frozen=True, gc=False):
    """One statement and the rows to run it with."""

    statement: Statement
    rows: list[tuple[Any, ...]]


def jobs(
    decisions: Iterable[Decision], first_seq: int, statements: Statements, of_cloud: Mapping[int, Sequence[Entry]]
) -> Sequence[Job]:
    """The statements that write `decisions`, journal rows numbered from `first_seq`.

    Args:
        of_cloud: by the number of a decision, rows of the cloud that come before its own.
    """
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    entries, astuple = rows[statements.journal.sql], msgspec.structs.astuple
    for number, decision in enumerate(decisions):
        entries += [
            (first_seq + len(entries) + each, *astuple(row)) for each, row in enumerate(of_cloud.get(number, ()))
        ]
        rows[statements.group.sql] += [columns_of(group, statements.group.order) for group in decision.groups]
        # All changes of one record go by one statement: two would not keep their order.
        rare = {change.after.id for change in decision.changes if _is_rare(change)}
        for change in decision.changes:
            entries.append((first_seq + len(entries), *astuple(change.entry)))
            statement = _statement(change, statements, change.after.id in rare)
            rows[statement.sql].append(columns_of(change.after, statement.order))
    # A machine without rare changes has one statement for both kinds: it is run once.
    ordered = {statement.sql: statement for statement in _order(statements)}
    return [Job(statement, rows[sql]) for sql, statement in ordered.items() if rows[sql]]


_rare = {name: attrgetter(*columns, "id") for name, columns in RARE.items()}
"""The columns, and one more, so that it is a tuple of each."""


def _is_rare(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None:
        return False
    columns = _rare[change.machine]
    return any(map(is_not, columns(before), columns(after)))


def _statement(change: Change, statements: Statements, rare: bool) -> Statement:
    if change.before is None:
        return statements.inserts[change.machine]
    return (statements.rewrites if rare else statements.updates)[change.machine]


def _order(statements: Statements) -> Iterable[Statement]:
    yield statements.journal
    yield statements.group
    yield from (statements.inserts[name] for name in INSERT_ORDER)
    for name in UPDATE_ORDER:
        yield statements.updates[name]
        yield statements.rewrites[name]
