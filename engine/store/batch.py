"""What one transaction writes: the rows of many decisions, grouped so that each table takes one statement.

Pure arithmetic over values: no connection here. Order matters and is the same for every batch: the journal first
(guards look for its rows), then new rows, parents before children, then changed rows, children before parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from interlock.engine.core.decision import Decision
from interlock.engine.store.statements import INSERT_ORDER, UPDATE_ORDER, Statements
from interlock.schema.rows import row_of
from interlock.schema.tables import metadata

_columns = {name: tuple(column.name for column in metadata.tables[name].c) for name in INSERT_ORDER}


class Job(msgspec.Struct, frozen=True):
    """One statement and the rows to run it with."""

    sql: str
    rows: list[tuple[Any, ...]]


def jobs(decisions: Iterable[Decision], first_seq: int, statements: Statements) -> Sequence[Job]:
    """The statements that write `decisions`, journal rows numbered from `first_seq`."""
    entries: list[tuple[Any, ...]] = []
    born: dict[str, list[tuple[Any, ...]]] = {name: [] for name in INSERT_ORDER}
    moved: dict[str, list[tuple[Any, ...]]] = {name: [] for name in UPDATE_ORDER}
    for decision in decisions:
        for change in decision.changes:
            entries.append((first_seq + len(entries), *msgspec.structs.astuple(change.entry)))
            values = dict(zip(_columns[change.machine], row_of(change.after), strict=True))
            if change.before is None:
                born[change.machine].append(statements.inserts[change.machine].parameters(values))
            else:
                moved[change.machine].append(statements.updates[change.machine].parameters(values))
    written = [
        Job(statements.journal.sql, entries),
        *(Job(statements.inserts[name].sql, born[name]) for name in INSERT_ORDER),
        *(Job(statements.updates[name].sql, moved[name]) for name in UPDATE_ORDER),
    ]
    return [job for job in written if job.rows]


def length(decisions: Iterable[Decision]) -> int:
    """How many journal rows they have."""
    return sum(len(decision.changes) for decision in decisions)
