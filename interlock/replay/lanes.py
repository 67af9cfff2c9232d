"""The timeline of a history as a model: a lane for each entity, spans of its states, and marks for what befell it.

Promises: pure; every span begins and ends with a transition, or at the end of the picture; a mark stands at the row
that tells of it, or, of a call, at the row that settles it. Whoever draws it merges what is too short to be seen
(`interlock/pictures/thinning.py`); here all is kept.
Operations that follow each other share a lane; two that were under way at once have one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from interlock.replay.chapters import Call, Chapter, Turn, chapters
from interlock.schema.transition import Transition

LANES = 40
"""Lanes of a picture; a VM's first NICs, disks and operations."""
ORDER = ("vm", "nic", "volume", "operation")
REPORTS = ("HostLost", "AgentReport", "FollowAgent")
"""Events that a host's report began."""


class Kind(StrEnum):
    """What a mark means."""

    FAULT = "fault"
    RETRY = "retry"
    REPORT = "report"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Span:
    """An entity in one state. `states`: how many it stands for; more than one were too short to be told apart."""

    begin: int
    end: int
    machine: str
    state: str
    words: str
    label: str
    """What stands on it, where there is room: its state, before it what the operation is."""
    states: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that befell. `count`: how often, so close together that it is one mark."""

    at: int
    kind: Kind
    words: str
    count: int = 1


@dataclass
class Lane:
    """One entity, or operations one after the other."""

    machine: str
    name: str
    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Timeline:
    """Of a history from `begin` to `end`, µs. `idle`: times in which no operation was driven."""

    title: str
    begin: int
    end: int
    lanes: tuple[Lane, ...]
    idle: tuple[tuple[int, int], ...]
    more: int = 0
    """Lanes that are left out."""


def timeline(rows: Sequence[Transition], title: str, until: int | None = None) -> Timeline:
    """The timeline of a history.

    Args:
        rows: in the journal's order; at least one.
        title: what it is of.
        until: where the picture ends; None: with the last row.
    """
    told = chapters(rows)
    begin, last = min(row.at for row in rows), max(row.at for row in rows)
    end = max(last, until or last, begin + 1)
    lanes = [*_entities(rows, end), *_operations(told, end)]
    lanes.sort(key=lambda lane: ORDER.index(lane.machine) if lane.machine in ORDER else len(ORDER))
    return Timeline(title, begin, end, tuple(lanes[:LANES]), tuple(_idle(told, begin, end)), max(0, len(lanes) - LANES))


# Lanes


def _entities(rows: Iterable[Transition], end: int) -> Iterator[Lane]:
    by_entity: dict[tuple[str, str], list[Transition]] = {}
    for row in rows:
        if row.machine != "operation":
            by_entity.setdefault((row.machine, row.entity_id), []).append(row)
    for (machine, entity_id), own in by_entity.items():
        lane = Lane(machine, _name(machine, entity_id, own[0]))
        lane.spans = list(_spans(own, end))
        lane.marks = [_reported(row) for row in own if row.event.startswith(REPORTS)]
        yield lane


def _name(machine: str, entity_id: str, first: Transition) -> str:
    told = first.changed
    named = told.get("name") if machine != "nic" else f"{told.get('device', '')} {told.get('network_id', '')}".strip()
    return f"{machine} {named or entity_id}"


def _reported(row: Transition) -> Mark:
    return Mark(row.at, Kind.REPORT, f"{row.event}: {row.cause}" if row.cause else row.event)


def _spans(own: Sequence[Transition], end: int, about: str = "") -> Iterator[Span]:
    """The spans of one entity, or of one operation; transitions that stay in the state do not cut it."""
    entered = [row for number, row in enumerate(own) if not number or row.destination != own[number - 1].destination]
    for number, row in enumerate(entered):
        after = entered[number + 1].at if number + 1 < len(entered) else end
        words = f"{about}{row.destination} by {row.event}" + (f": {row.cause}" if row.cause else "")
        yield Span(row.at, max(row.at, after), row.machine, row.destination, words, about + row.destination)


def _operations(told: Iterable[Chapter], end: int) -> Iterator[Lane]:
    lanes: list[Lane] = []
    for chapter in told:
        own = [row for row in chapter.rows if row.machine == "operation" and row.entity_id == chapter.id]
        if not own:
            continue
        over = own[-1].at if chapter.is_over else end
        lane = next((each for each in lanes if each.spans[-1].end <= own[0].at), None)
        if lane is None:
            lane = Lane("operation", "operation")
            lanes.append(lane)
        lane.spans += [replace(each, end=min(each.end, over)) for each in _spans(own, end, f"{chapter.kind} ")]
        lane.marks += _marks(chapter)
    return iter(lanes)


def _marks(chapter: Chapter) -> Iterator[Mark]:
    for item in chapter.items:
        if isinstance(item, Call) and item.settled_at is not None:
            # What was found is an answer as it should be.
            for effect, outcome in item.refusals:
                if not outcome.startswith("found "):
                    yield Mark(item.settled_at, Kind.FAULT, f"{effect}: {outcome}")
        elif isinstance(item, Turn) and item.retries:
            yield Mark(item.row.at, Kind.RETRY, f"{chapter.kind} tries again: {item.row.cause}")
        elif isinstance(item, Turn) and item.row.event == "OperationStuck":
            yield Mark(item.row.at, Kind.STUCK, f"{chapter.kind} is Stuck: {item.row.cause}")


def _idle(told: Iterable[Chapter], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The times between operations; also those in which one waits for a person."""
    now = begin
    for before, after in sorted(_busy(told, end)):
        if before > now:
            yield now, before
        now = max(now, after)
    if end > now:
        yield now, end


def _busy(told: Iterable[Chapter], end: int) -> Iterator[tuple[int, int]]:
    for chapter in told:
        own = [row for row in chapter.rows if row.machine == "operation"] or chapter.rows
        for row, after in zip(own, [*own[1:], None], strict=True):
            if row.destination != "Stuck" and after is not None:
                yield row.at, after.at
        if not chapter.is_over and chapter.state != "Stuck":
            yield own[-1].at, end
        yield own[0].at, own[0].at
