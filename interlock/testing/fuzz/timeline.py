"""Tells a run as a story: each event in a line, with what it wrote and what the hypervisor did.

For a shrunk run that fails it is what a person reads first: who does which step of which operation, in which order, and
where it ends. The steps are named as in the operation's own file (engine/core/operations/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from interlock.engine.core.backoff import SECOND
from interlock.schema.records import Operation
from interlock.schema.transition import Entry
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.network import FAULTS
from interlock.testing.fuzz.run import WORKERS, rest
from interlock.testing.fuzz.universe import BEGIN, Setting, Universe
from interlock.testing.fuzz.violation import Violation


def timeline(setting: Setting, events: Sequence[e.Event]) -> Iterator[str]:
    """The lines of a run, to the violation or to its rest."""
    universe = Universe(setting, WORKERS)
    try:
        yield from _told(universe, events)
        yield "-- nothing goes wrong any more"
        yield from _told(universe, rest(universe))
        universe.oracle.quiet()
        yield "-- all is well"
    except Violation as violation:
        yield f"VIOLATION  {violation}"
    finally:
        universe.close()


def _told(universe: Universe, events: Iterable[e.Event]) -> Iterator[str]:
    for event in events:
        head = universe.store.head
        said = _said(universe, event)
        try:
            applied = universe.happen(event)
        except Violation:
            yield _line(universe, said)
            yield from _after(universe, universe.store.journal[head:])
            raise
        if applied:
            yield _line(universe, said)
            yield from _after(universe, universe.store.journal[head:])


def _line(universe: Universe, said: str) -> str:
    return f"{(universe.now - BEGIN) / SECOND:10.1f} s  {said}"


def _after(universe: Universe, rows: Sequence[Entry]) -> Iterator[str]:
    for row in rows:
        step = _step(universe, row) if row.machine == "operation" else ""
        moved = f"{row.source or 'nothing'} -> {row.destination} ({row.event})"
        yield f"{'':16}{row.machine} {row.entity_id}: {moved}{step}"


def _step(universe: Universe, row: Entry) -> str:
    operation: Operation = universe.store.records["operation"][row.entity_id]
    name = operation.steps[operation.step] if 0 <= operation.step < len(operation.steps) else "-"
    cause = f": {row.cause}" if row.cause else ""
    return f", {operation.kind} at step {name}{cause}"


def _said(universe: Universe, event: e.Event) -> str:
    return _delivered(universe, event) if isinstance(event, e.Deliver) else _WORDS[type(event)](event)


def _asked(event: e.Ask) -> str:
    fields = ", ".join(f"{name}={value}" for name, value in event.fields.items())
    return f"{event.worker} is asked to {event.kind} ({fields})" + ", and is slow to write it" * event.slow


def _about(event: e.Outside) -> str:
    return f"guest {event.guest}" if event.guest else f"host {event.host}"


_WORDS: dict[type[e.Event], Callable[[Any], str]] = {
    e.Ask: _asked,
    e.Submit: lambda it: f"{it.worker} writes request {it.number}",
    e.Think: lambda it: f"{it.worker} decides what follows for {it.operation}",
    e.Write: lambda it: f"{it.worker} commits it for {it.operation}" + (f"  !! {it.fate}" if it.fate else ""),
    e.Arrive: lambda it: f"{it.message} arrives after all",
    e.Outside: lambda it: f"  !! {_about(it)} {it.act}" + (f": {it.host}" if it.guest and it.host else ""),
    e.Cancel: lambda it: f"somebody cancels {it.operation}",
    e.Break: lambda it: f"{it.worker} meets a defect in {it.operation}",
    e.Resolve: lambda it: f"a person resolves {it.operation} by --{it.way}",
    e.Pass: lambda it: f"{it.time / SECOND:g} s go by",
    e.Crash: lambda it: f"{it.worker} is killed",
    e.Pause: lambda it: f"{it.worker} is paused",
    e.Wake: lambda it: f"{it.worker} runs again",
    e.Open: lambda it: f"{it.worker} opens",
    e.Recover: lambda it: f"{it.worker} takes over what nobody drives",
}


def _delivered(universe: Universe, event: e.Deliver) -> str:
    message = universe.network.sent.get(event.message)
    if message is None:
        return f"{event.message} is delivered"
    command = message.effect.command
    what = f"{type(command).__name__} of {command.subject} at {command.at}, fence {message.fence}"
    befalls = f"  !! {event.fault}: {FAULTS[event.fault].meaning}" if event.fault else ""
    return f"{what} ({message.name}){befalls}"
