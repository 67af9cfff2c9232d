"""Counts what one engine does. In plain numbers: `metrics.py` hands them to Prometheus when it is asked.

Promises: every operation that this engine ended is counted once, however often its commit was tried: what is counted is
what was written. Only the engine's event loop writes; any thread may read.
"""

from __future__ import annotations

import time
from collections import Counter

from interlock.engine.core.deadlines import Deadline
from interlock.engine.core.decision import Change, Decision, Effect
from interlock.engine.observer import Finish, Observer
from interlock.engine.orchestrator.clock import now
from interlock.engine.store.commit import Written
from interlock.engine.store.verdict import Lost
from interlock.schema.commands import Outcome, Refused
from interlock.schema.machine import CREATED
from interlock.schema.records import Operation
from interlock.telemetry import table
from interlock.telemetry.histogram import Histogram
from interlock.telemetry.steps import Steps
from interlock.telemetry.table import OF_MOVES, Kind, Metric

MICROS = 1_000_000
Labels = tuple[str, ...]


class Meter(Observer):
    """Of one engine at a time; counters go on from one to the next."""

    def __init__(self) -> None:
        kinds = {kind: [each for each in table.METRICS if each.kind is kind] for kind in Kind}
        self.counts: dict[Metric, Counter[Labels]] = {each: Counter() for each in kinds[Kind.COUNTER]}
        self.histograms: dict[Metric, dict[Labels, Histogram]] = {each: {} for each in kinds[Kind.HISTOGRAM]}
        self.running = 0
        """Effects that have not answered."""
        self._steps = Steps()

    def written(self, decision: Decision) -> None:
        """See `Observer`."""
        operation, at = decision.operation, decision.changes[0].entry.at
        self._observe(table.COMMIT_SECONDS, (), now() - at)
        self._transitions(decision)
        turn = self._steps.follow(decision)
        if turn.left is not None:
            step = turn.left.step
            labels = (operation.kind, step.name, step.direction, turn.left.outcome)
            self._observe(table.STEP_SECONDS, labels, turn.left.micros)
        if decision.outcome is not None:
            ended = operation.kind, decision.outcome.value
            self.counts[table.OPERATIONS][ended] += 1
            self._observe(table.OPERATION_SECONDS, ended, at - operation.created_at)

    def _transitions(self, decision: Decision) -> None:
        kind = decision.operation.kind
        for change in decision.changes:
            row = change.entry
            self.counts[table.TRANSITIONS][row.machine, row.event] += 1
            if row.machine == "operation":
                if row.event == CREATED:
                    self.counts[table.REQUESTS][kind,] += 1
                elif row.event == "Claimed":
                    self.counts[table.TAKEOVERS][kind,] += _was_anothers(change)
                elif (row.event, row.source) in OF_MOVES:
                    metric, labels = OF_MOVES[row.event, row.source]
                    self.counts[metric][kind, *labels] += 1

    def batch(self, written: Written) -> None:
        """See `Observer`."""
        self._histogram(table.BATCH, ()).add(len(written.verdicts))
        for verdict in written.verdicts:
            if isinstance(verdict, Lost):
                self.counts[table.CONFLICTS][verdict.why.value,] += 1

    def overdue(self, due: Deadline) -> None:
        """See `Observer`."""
        self.counts[table.OVERDUE][due.machine, due.state] += 1

    def left(self, operation_id: str) -> None:
        """See `Observer`."""
        self._steps.forget(operation_id)

    def performing(self, effect: Effect, fence: int) -> Finish:
        """See `Observer`."""
        began = time.perf_counter()
        self.running += 1

        def finish(outcome: Outcome | None) -> None:
            self.running -= 1
            labels = type(effect.command).__name__, effect.command.driver, said(outcome)
            self._histogram(table.EFFECT_SECONDS, labels).add(time.perf_counter() - began)

        return finish

    def _observe(self, metric: Metric, labels: Labels, micros: int) -> None:
        # A clock that was set back between two workers' rows must not make a sum fall.
        self._histogram(metric, labels).add(max(0, micros) / MICROS)

    def _histogram(self, metric: Metric, labels: Labels) -> Histogram:
        series = self.histograms[metric]
        found = series.get(labels)
        if found is None:
            found = series[labels] = Histogram(metric.bounds)
        return found


def _was_anothers(claim: Change) -> bool:
    """Whether it was under way and another worker's; one that was Stuck, or was not begun, is nobody's."""
    before, after = claim.before, claim.after
    if not isinstance(before, Operation) or not isinstance(after, Operation) or before.state == "Queued":
        return False
    return before.worker_id not in (None, after.worker_id)


def said(outcome: Outcome | None) -> str:
    """An outcome as a label has it."""
    if outcome is None:
        return "cut"
    return outcome.kind.value if isinstance(outcome, Refused) else "done"
