"""The commit, without a connection: a conversation that says which SQL to run and is told what came of it.

One generator holds the logic for SQLite's thread, asyncpg's connection and an embedder's own transaction; each of
them only runs what it is asked. A refused row is thrown in as `RowRefused`. The batch is first written as a whole; if
any row is refused it is rolled back and written again decision by decision, each in a savepoint, so that one lost race
costs the others nothing. Beginning and ending the transaction is the caller's part.

A request may make a security group, which is a place: unless somebody was faster, a row of the cloud is written before
the rows of the request. Only such a request asks for the end of the cloud's chain.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec

from interlock.engine.core import chronicle
from interlock.engine.core.chronicle import Chain
from interlock.engine.core.decision import Author, Decision
from interlock.engine.store.batch import jobs
from interlock.engine.store.statements import Statement, Statements, group_there
from interlock.engine.store.verdict import Committed, Lost, Verdict, Why, why
from interlock.schema.transition import Entry


class Ask(msgspec.Struct, frozen=True, gc=False):
    """SQL to run: once, or among several once for each of `rows`."""

    sql: str
    rows: Sequence[tuple[Any, ...]] = ()
    together: Statement | None = None
    """The same as a statement of which many rows may be made one, since they do not depend on their order: all
    decisions are written at once, and nothing comes after it in the transaction."""


Asked = Ask | list[Ask]
"""What is to be run next: one, or several with rows, in their order; of those, nothing is wanted as an answer."""


class RowRefused(Exception):
    """A constraint or a guard said no; the message is the database's."""


class Counters(msgspec.Struct):
    """What the commit path has cost so far."""

    commits: int = 0
    statements: int = 0
    decisions: int = 0
    retried_alone: int = 0
    """Batches that were written decision by decision because one of them was refused, or might have to be."""


class Written(msgspec.Struct, frozen=True, gc=False):
    """The verdicts of a batch in order, and the number of the journal's last row before and after."""

    verdicts: list[Verdict]
    found_head: int
    left_head: int
    alone: bool
    """Whether it was written decision by decision."""


IsStale = Callable[[int], bool]
"""Told the journal's head as found; says whether the figures decided on are older than it."""
Conversation = Generator[Asked, Any, Written]


def commit(
    decisions: Sequence[Decision], is_stale: IsStale, statements: Statements, begin_again: Sequence[str] = ()
) -> Conversation:
    """Write `decisions` inside a transaction that already excludes other writers.

    Args:
        begin_again: SQL that ends the transaction without a trace and begins another, where the transaction is ours
            alone; a savepoint around the whole batch is spared then, which costs SQLite a copy of every page, and
            PostgreSQL a round trip.

    Answers expected: for an Ask without rows, the value of the first column of the first row, or None.
    """
    head = int((yield Ask(statements.head.sql)))
    stale = is_stale(head) and any(decision.if_fresh for decision in decisions)
    together = None if stale else (yield from _together(decisions, head, statements, begin_again))
    if together is None and begin_again and not stale:
        head = int((yield Ask(statements.head.sql)))
        stale = is_stale(head) and any(decision.if_fresh for decision in decisions)
    verdicts = together or (yield from _one_by_one(decisions, head, stale, statements))
    return Written(verdicts, head, _left(decisions, verdicts, head), alone=together is None)


def _left(decisions: Sequence[Decision], verdicts: Sequence[Verdict], head: int) -> int:
    """The number of the journal's last row after the decisions."""
    pairs = zip(decisions, verdicts, strict=True)
    ends = [each.first_seq - 1 + len(decision.changes) for decision, each in pairs if isinstance(each, Committed)]
    return ends[-1] if ends else head


def _together(
    decisions: Sequence[Decision], head: int, statements: Statements, begin_again: Sequence[str]
) -> Generator[Asked, Any, list[Verdict] | None]:
    if not begin_again:
        yield Ask("SAVEPOINT batch")
    try:
        of_cloud = yield from _write(decisions, head + 1, statements, together=True)
    except RowRefused:
        for sql in begin_again or ("ROLLBACK TO SAVEPOINT batch",):
            yield Ask(sql)
        return None
    verdicts: list[Verdict] = []
    for number, decision in enumerate(decisions):
        head += len(of_cloud.get(number, ()))
        verdicts.append(Committed(head + 1))
        head += len(decision.changes)
    return verdicts


def _one_by_one(
    decisions: Sequence[Decision], head: int, stale: bool, statements: Statements
) -> Generator[Asked, Any, list[Verdict]]:
    verdicts: list[Verdict] = []
    for decision in decisions:
        if stale and decision.if_fresh:
            verdict: Verdict = Lost(Why.ROOM, "others have changed what this refusal was decided on")
        else:
            verdict = yield from _alone(decision, head + 1, statements)
        verdicts.append(verdict)
        head = _left([decision], [verdict], head)
    return verdicts


def _alone(decision: Decision, first_seq: int, statements: Statements) -> Generator[Asked, Any, Verdict]:
    yield Ask("SAVEPOINT one")
    try:
        of_cloud = yield from _write([decision], first_seq, statements, together=False)
    except RowRefused as refused:
        yield Ask("ROLLBACK TO SAVEPOINT one")
        return Lost(why(str(refused)), str(refused))
    yield Ask("RELEASE SAVEPOINT one")
    return Committed(first_seq + len(of_cloud.get(0, ())))


def _write(
    decisions: Sequence[Decision], first_seq: int, statements: Statements, *, together: bool
) -> Generator[Asked, Any, dict[int, list[Entry]]]:
    """Returns the rows of the cloud that were written before the rows of a decision, by the decision's number."""
    of_cloud = yield from _made_groups(decisions, statements)
    work = jobs(decisions, first_seq, statements, of_cloud)
    yield [Ask(job.statement.sql, job.rows, job.statement if together else None) for job in work]
    return of_cloud


def _made_groups(decisions: Sequence[Decision], statements: Statements) -> Generator[Ask, Any, dict[int, list[Entry]]]:
    """The rows of the cloud that tell of security groups which are not there yet, each made by one decision."""
    end, there = None, set[str]()
    of_cloud: dict[int, list[Entry]] = {}
    for number, decision in enumerate(decisions):
        fresh = []
        for group in decision.groups:
            if group.id not in there and not (yield Ask(group_there(group.id))):
                fresh.append(group)
            there.add(group.id)
        if fresh:
            end = end or (yield from _end_of_cloud(statements))
            of_cloud[number] = chronicle.written(end, {"security_group": fresh}, _author(decision))
            end = chronicle.end_of(of_cloud[number][-1])
    return of_cloud


def _end_of_cloud(statements: Statements) -> Generator[Ask, Any, Chain]:
    version = yield Ask(statements.cloud_version.sql)
    return Chain(version, (yield Ask(statements.cloud_hash.sql))) if version else Chain()


def _author(decision: Decision) -> Author:
    operation = decision.operation
    return Author(at=decision.journal[0].at, operation_id=operation.id, actor=operation.actor)
