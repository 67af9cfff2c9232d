"""OpenTelemetry: a span for each operation, under it one for each step, under that one for each call of a driver.

    async with Engine.open(url, observers=[Traces()]): ...      # the global tracer provider, or Traces(provider)

    <the caller's span>
      request deploy                 producer; where it was asked: journaled, so that whoever drives finds it
        deploy                       consumer; one for each worker that drives it, its transitions as events
          prepare                    one for each step, in each direction: `prepare`, `undo prepare`
            PrepareNic               client; a driver's call, current while the driver works
            wait                     until the step is tried again

An operation that another worker takes over goes on in the same trace, as another span beside the first one's, with
`interlock.taken_over`. Spans are kept in memory until they end: what a killed process had not ended is not seen, what
the journal says of it is. docs/decisions/0030 says why.

Needs opentelemetry-api (`interlock[otel]`), which nothing else imports; without an SDK it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from interlock.engine.core.decision import Decision, Effect, End
from interlock.engine.core.inputs import trace_in
from interlock.engine.observer import Finish, Observer
from interlock.engine.orchestrator.view import View
from interlock.engine.store import standing
from interlock.schema.commands import Outcome, Refused
from interlock.schema.errors import InterlockError, InvalidRequest
from interlock.schema.machine import CREATED
from interlock.schema.records import Operation
from interlock.schema.requests import KIND_OF, Request, subject_of
from interlock.schema.transition import Entry
from interlock.telemetry.meter import said
from interlock.telemetry.steps import Left, Step, Steps, Turn, own_rows

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("traces need opentelemetry-api: install interlock[otel]") from missing

Attributes = dict[str, str | int | bool]
PROPAGATOR = TraceContextTextMapPropagator()
HEADER = "traceparent"
KEPT = 1024
"""Operations written here of which is remembered where they were asked. Too low: one that waited for its turn is looked
up in the journal when it begins; too high: memory, where others drive what is asked here."""


class Traces(Observer):
    """Of one engine at a time.

    Args:
        provider: whose tracer; the global one if not said.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("interlock", tracer_provider=provider)
        self._view: View | None = None
        self._asked: dict[str, _Asked] = {}
        """Operations that were written here, and are not driven yet."""
        self._drives: dict[str, _Drive] = {}
        self._steps = Steps()

    def opened(self, view: View) -> None:
        """See `Observer`."""
        if self._view is not None:
            raise InvalidRequest("these traces are another engine's: make other ones for this")
        self._view = view

    def closed(self) -> None:
        """See `Observer`."""
        self._view = None
        self._asked.clear()

    def asked(self, operation_id: str, request: Request) -> str | None:
        """See `Observer`. The span is only a place to come back to, so it ends at once."""
        kind, (vm_id, volume_id) = KIND_OF.get(type(request), ""), subject_of(request)
        about = _about(operation_id, kind, vm_id, volume_id)
        span = self._tracer.start_span(f"request {kind}", kind=SpanKind.PRODUCER, attributes=about)
        span.end()
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        return carrier.get(HEADER)

    async def driving(self, operation: Operation) -> None:
        """See `Observer`."""
        assert self._view is not None
        asked = self._asked.pop(operation.id, None)
        where = asked.where if asked is not None else await self._where_asked(operation.id)
        parent = PROPAGATOR.extract({HEADER: where}) if where else Context()
        about = _about(operation.id, operation.kind, operation.vm_id, operation.volume_id)
        about["interlock.taken_over"] = operation.worker_id not in (None, self._view.worker_id)
        span = self._tracer.start_span(operation.kind, parent, SpanKind.CONSUMER, about)
        self._drives[operation.id] = drive = _Drive(self._tracer, span)
        if asked is not None and asked.begun is not None:
            drive.written(asked.begun, self._steps.follow(asked.begun))

    async def _where_asked(self, operation_id: str) -> str | None:
        assert self._view is not None
        try:
            rows = await self._view.rows(standing.asked_where(operation_id))
        except InterlockError:
            return None  # a trace of its own is better than none
        return trace_in(rows[0][0]) if rows else None

    def written(self, decision: Decision) -> None:
        """See `Observer`."""
        operation, first = decision.operation, own_rows(decision)[0]
        if first.event == CREATED:
            begun = decision if decision.effects or decision.outcome else None
            self._asked[operation.id] = _Asked(trace_in(first.detail), begun)
            if len(self._asked) > KEPT:
                self._asked.pop(next(iter(self._asked)))
        drive = self._drives.get(operation.id)
        if drive is not None:
            drive.written(decision, self._steps.follow(decision))

    def performing(self, effect: Effect, fence: int) -> Finish:
        """See `Observer`."""
        drive = self._drives.get(effect.token.partition("/")[0])
        command = effect.command
        about: Attributes = {
            "interlock.effect.token": effect.token,
            "interlock.effect.fence": fence,
            "interlock.driver": command.driver,
            "interlock.at": command.at,
            "interlock.subject": command.subject,
        }
        parent = drive.inmost() if drive is not None else None
        span = self._tracer.start_span(type(command).__name__, parent, SpanKind.CLIENT, about)
        token = contexts.attach(trace.set_span_in_context(span))

        def finish(outcome: Outcome | None) -> None:
            contexts.detach(token)
            _end_effect(span, outcome)

        return finish

    def left(self, operation_id: str) -> None:
        """See `Observer`."""
        self._steps.forget(operation_id)
        self._asked.pop(operation_id, None)
        drive = self._drives.pop(operation_id, None)
        if drive is not None:
            drive.left()


class _Asked(NamedTuple):
    """An operation that will be driven."""

    where: str | None
    begun: Decision | None
    """The decision that wrote it, if that began it as well (docs/decisions/0026)."""


class _Drive:
    """The spans of one operation while it is driven here."""

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._step: Span | None = None
        self._wait: Span | None = None

    def inmost(self) -> Context:
        """Where a driver's call belongs."""
        return trace.set_span_in_context(self._step or self._span)

    def written(self, decision: Decision, turn: Turn) -> None:
        """A decision is durable."""
        _tell(self._span, own_rows(decision))
        self._woken()
        if turn.left is not None:
            self._leave(turn.left, decision)
        if turn.entered is not None:
            self._enter(turn.entered)
        if decision.wake_at is not None and not decision.effects and decision.outcome is None:
            self._wait = self._tracer.start_span("wait", self.inmost())
        if decision.outcome is not None:
            self._ended(decision.outcome, decision.operation)

    def _enter(self, step: Step) -> None:
        name = step.name if step.direction == "do" else f"{step.direction} {step.name}"
        about: Attributes = {
            "interlock.step": step.name,
            "interlock.direction": step.direction,
            "interlock.attempt": step.attempt,
        }
        self._step = self._tracer.start_span(name, trace.set_span_in_context(self._span), attributes=about)

    def _leave(self, left: Left, decision: Decision) -> None:
        span, self._step = self._step, None
        if span is None:
            return
        span.set_attribute("interlock.outcome", left.outcome)
        if left.outcome in ("refused", "stuck"):
            span.set_status(StatusCode.ERROR, own_rows(decision)[0].cause)
        span.end()

    def _ended(self, outcome: End, operation: Operation) -> None:
        self._span.set_attribute("interlock.outcome", outcome.value)
        if outcome is not End.SUCCEEDED:
            self._span.set_status(StatusCode.ERROR, operation.error)

    def _woken(self) -> None:
        span, self._wait = self._wait, None
        if span is not None:
            span.end()

    def left(self) -> None:
        """It is driven here no more: what has not ended goes on elsewhere."""
        self._woken()
        for span in filter(None, (self._step, self._span)):
            span.end()


def _about(operation_id: str, kind: str, vm_id: str | None, volume_id: str | None) -> Attributes:
    about = {"operation.id": operation_id, "operation.kind": kind, "vm.id": vm_id, "volume.id": volume_id}
    return {f"interlock.{name}": value for name, value in about.items() if value}


def _tell(span: Span, rows: Iterable[Entry]) -> None:
    for row in rows:
        if row.event == CREATED:
            continue
        told: Attributes = {"interlock.source": row.source, "interlock.destination": row.destination}
        if row.cause:
            told["interlock.cause"] = row.cause
        span.add_event(row.event, told)


def _end_effect(span: Span, outcome: Outcome | None) -> None:
    span.set_attribute("interlock.outcome", said(outcome))
    if isinstance(outcome, Refused):
        span.set_status(StatusCode.ERROR, outcome.reason)
    elif outcome is None:
        span.set_status(StatusCode.ERROR, "it did not answer in time")
    span.end()
