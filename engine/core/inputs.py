"""The inputs of a decision, as its first journal row keeps them (`detail.input`), and back.

A decision follows from what was told, the entities, the cloud and the rules. The entities follow from the journal; what
was told stands here, less what the rows say anyway; of the cloud there is a name for what was counted of it (`saw`),
and of the rules one for what they were (`rules`), in full where this worker had not yet said so.

    saw     [number, sum]: the figures were read when `number` was the journal's last row; `sum` is the sum (exclusive
            or) of the marks of all decisions that were counted on top since then, whether written by now or not.
            Whoever reads the journal sums up what really stands between there and here: equal sums, and the decision
            saw just what had been written before it; else it saw something that was lost, or did not see something.
    of      for a request about entities: the sum of their marks, as they were read before the request owned them
    rules   the mark of the policy, plug-ins and capabilities in force, or these themselves

Promises: `event_of(row, input_of(event, …)) == event`, given the rows the event led to; except for spare ids, of which
as many are made up as anybody can want. Each decision has one input, in its first row; that is also where it begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import xor
from typing import Any, cast

import msgspec

from interlock.engine.core.events import Claimed, Event, Requested, Settled, ids_needed
from interlock.engine.core.snapshot import Policy, Rules, Snapshot
from interlock.schema.commands import Done, Outcome, Refused
from interlock.schema.records import Entity, Operation
from interlock.schema.requests import KINDS, Request
from interlock.schema.rows import text_of
from interlock.schema.transition import Entry

INPUT = "input"
"""The key of a row's detail."""
TRACE = "trace"
"""The key of the detail of an operation's first row that says where it was asked, if its caller's records do."""
EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Rules as data: the policy, and what plug-ins were called and could."""

    policy: Policy
    planners: tuple[str, ...]
    gurus: tuple[str, ...]
    capabilities: dict[str, tuple[str, ...]]


def recipe_of(rules: Rules) -> Recipe:
    """What of the rules can be written down."""
    able = {name: tuple(sorted(map(str, able))) for name, able in rules.capabilities.items()}
    return Recipe(
        policy=rules.policy,
        planners=tuple(sorted(rules.planners)),
        gurus=tuple(sorted(rules.gurus)),
        capabilities=able,
    )


def in_full(recipe: Recipe) -> dict[str, Any]:
    """The rules as an input has them."""
    said: dict[str, Any] = msgspec.json.decode(text_of(recipe))
    return said


def mark_of(recipe: Recipe) -> str:
    """A name for rules: the same for the same."""
    return hashlib.sha256(text_of(recipe).encode()).hexdigest()[:8]


def mark(hash: str) -> int:
    """What is added to a sum for a hash: of a decision, that of its operation's last row; of the cloud, of each row."""
    return int(hash[:8], 16)


def sum_of(*entities: Entity | None) -> str:
    """Of the marks of entities."""
    return f"{reduce(xor, (mark(entity.hash) for entity in entities if entity is not None), 0):08x}"


def input_of(event: Event, snapshot: Snapshot) -> dict[str, Any]:
    """What the first row of the decision says of its inputs."""
    said: dict[str, Any] = {"event": type(event).__name__, **_fields(event)}
    if (sight := snapshot.sight) is not None:
        said["saw"] = [sight.since, sight.counted]
        said["rules"] = sight.rules
        if isinstance(event, Requested) and (snapshot.vm or snapshot.volumes):
            said["of"] = sum_of(snapshot.vm, *snapshot.nics, *snapshot.volumes)
    return said


def _fields(event: Event) -> dict[str, Any]:
    if isinstance(event, Claimed):
        return {"worker_id": event.worker_id}
    if isinstance(event, Settled):
        return _outcomes(event.outcomes)
    if isinstance(event, Requested):
        return {}  # it is in the operation's first row
    return {name: value for name, value in msgspec.to_builtins(event).items() if name != "at"}


def _outcomes(outcomes: tuple[Outcome, ...]) -> dict[str, Any]:
    if all(isinstance(outcome, Done) and outcome.found is None for outcome in outcomes):
        return {"done": len(outcomes)}
    return {"outcomes": msgspec.to_builtins(outcomes)}


def input_in(row: Entry) -> dict[str, Any] | None:
    """The input that a row carries: a decision begins with it."""
    if row.detail is None or f'"{INPUT}":' not in row.detail:
        return None
    found: dict[str, Any] | None = msgspec.json.decode(row.detail).get(INPUT)
    return found


def trace_in(detail: str | None) -> str | None:
    """Where an operation was asked, by the detail of its first row."""
    found: str | None = msgspec.json.decode(detail).get(TRACE) if detail and f'"{TRACE}":' in detail else None
    return found


def rules_in(rows: Sequence[Entry]) -> Any:
    """What the input of a decision says of the rules: their mark, or themselves."""
    return (input_in(rows[0]) or {}).get("rules")


def event_of(said: Mapping[str, Any], rows: Sequence[Entry], operation: Operation) -> Event:
    """The event that a decision answered.

    Args:
        said: the input in its first row.
        rows: all its rows.
        operation: as the first of its rows that is the operation's left it.

    Raises:
        ValueError: no release of ours has written that.
    """
    kind, at = EVENTS.get(said["event"]), rows[0].at
    if kind is None:
        raise ValueError(f"there is no event {said['event']}")
    if kind is Requested:
        return _requested(rows, operation)
    if kind is Settled:
        done = tuple(Done() for _ in range(said.get("done", 0)))
        return Settled(at=at, outcomes=(*done, *map(outcome_of, said.get("outcomes", ()))))
    fields = {name: value for name, value in said.items() if name in kind.__struct_fields__}
    return msgspec.convert({**fields, "at": at}, kind)


def outcome_of(said: dict[str, Any]) -> Outcome:
    found: Outcome = msgspec.convert(said, cast("type[Done]", Refused if "kind" in said else Done))
    return found


def _requested(rows: Sequence[Entry], operation: Operation) -> Requested:
    request: Request = msgspec.convert(operation.request, KINDS[operation.kind])
    made = [row.entity_id for row in rows if row.version == 1 and row.entity_id != operation.id]
    spare = [f"{operation.id}+{number}" for number in range(ids_needed(request))]
    return Requested(
        at=rows[0].at,
        request=request,
        actor=operation.actor,
        caller_id=operation.caller_id,
        ids=(operation.id, *made, *(each for each in operation.made if each not in made), *spare),
        worker_id=operation.worker_id,
        trace=next((trace_in(row.detail) for row in rows if row.entity_id == operation.id), None),
    )
