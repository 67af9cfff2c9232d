"""A decision beside what today's code makes of the same inputs, line by line, for people and for programs.

Inputs come first, then what followed. A line says what it is about, what the journal has, and what today's code has;
lines of which both say the same are told apart, so that a reader finds the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

import msgspec

from interlock.engine.core.events import Claimed, Requested, Settled
from interlock.engine.core.inputs import INPUT
from interlock.replay.past import Scene
from interlock.replay.recheck import Answer
from interlock.schema.commands import Done
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.requests import as_fields
from interlock.schema.transition import Entry

NOTHING = "-"
LONG = 16
"""Characters of an id that is shown by a name. Too few: words are torn that only look like it."""


class Line(msgspec.Struct, frozen=True):
    """One thing, as it was and as it would be."""

    about: str
    recorded: str
    today: str

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return self.recorded == self.today


def inputs(answer: Answer) -> list[Line]:
    """What went in, to the journal's code and to ours."""
    scene = answer.scene
    return [Line(about, said, said) for about, said in (*_event(scene), *_entities(scene), *_cloud(scene))]


def outputs(answer: Answer) -> list[Line]:
    """What came out: each transition, and beneath it what it changed."""
    names = _names(answer.scene)
    recorded, today = answer.scene.piece.rows, answer.today
    found = [line for was, would in _paired(recorded, today) for line in _rows(was, would, names)]
    said = [Line(line.about, _named(line.recorded, names), _named(line.today, names)) for line in found]
    return [*said, Line("refused", NOTHING, answer.refused)] if answer.refused else said


def _named(words: str, names: dict[str, str]) -> str:
    """With names in place of long ids, which nobody can compare by eye."""
    for id, name in names.items():
        words = words.replace(id, name) if len(id) >= LONG else words
    return words


# --- inputs


def _event(scene: Scene) -> Iterator[tuple[str, str]]:
    event = scene.event
    if isinstance(event, Requested):
        yield "event", f"Requested by {event.actor}"
        yield "request", f"{scene.operation.kind} {_json(_asked(as_fields(event.request)))}"
        yield "on the rights of", event.caller_id or "the operator"
    elif isinstance(event, Settled):
        done = sum(outcome == Done() for outcome in event.outcomes)
        yield "event", f"Settled, {done} of {len(event.outcomes)} Done"
        for outcome in event.outcomes:
            if outcome != Done():
                yield "answered", _json(msgspec.to_builtins(outcome))
    elif isinstance(event, Claimed):
        yield "event", f"Claimed by {event.worker_id}"
    elif event is not None:
        fields = msgspec.to_builtins(event)
        yield "event", f"{type(event).__name__} {_json({key: fields[key] for key in fields if key != 'at'})}"


def _asked(fields: dict[str, Any]) -> dict[str, Any]:
    """What a request says, without what it leaves open."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _entities(scene: Scene) -> Iterator[tuple[str, str]]:
    operation, vm, nics, volumes = scene.case
    if operation is not None:
        step = operation.steps[operation.step] if 0 <= operation.step < len(operation.steps) else "none yet"
        counts = f"attempt {operation.attempt}, tries {operation.tries}"
        yield "operation", f"{operation.kind}, {operation.state}, step {step}, {counts}"
        for entry in operation.avoid:
            yield "avoids", f"{entry.scope} {entry.id}: {entry.cause}"
    if vm is not None:
        yield f"vm {vm.name}", f"{vm.state}, host {vm.host_id or NOTHING}, planner {vm.planner}"
    for nic in nics:
        yield f"nic {nic.device}", f"{nic.state}, {nic.network_id} {nic.ip_address or NOTHING}"
    for volume in volumes:
        yield f"volume {volume.name}", f"{volume.state}, {volume.size_mib} MiB, pool {volume.pool_id or NOTHING}"


def _cloud(scene: Scene) -> Iterator[tuple[str, str]]:
    before = scene.piece.first.seq - 1
    yield "cloud", f"as transition {before} left it" + ("" if scene.exact else "; not all of that was seen")
    rules = (scene.piece.input or {}).get("rules")
    if isinstance(rules, dict):
        yield "policy", _json(rules["policy"])
    elif rules:
        yield "rules", f"those marked {rules}"


# --- outputs


def _paired(recorded: Sequence[Entry], today: Sequence[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Rows that are about the same, beside each other."""
    keys = [(row.machine, row.entity_id, row.event) for row in recorded]
    others = [(row.machine, row.entity_id, row.event) for row in today]
    for _, begin, end, from_, to in SequenceMatcher(None, keys, others, autojunk=False).get_opcodes():
        yield from zip_longest(recorded[begin:end], today[from_:to])


def _rows(was: Entry | None, would: Entry | None, names: dict[str, str]) -> Iterator[Line]:
    either = was or would
    assert either is not None
    about = f"{either.machine} {names.get(either.entity_id, either.entity_id)}".rstrip()
    if was and would and was.entity_id != would.entity_id:
        about = f"{either.machine}"
    yield Line(about, _heading(was), _heading(would))
    old, new = _parts(was), _parts(would)
    for key in dict.fromkeys((*old, *new)):
        line = Line(f"  {key}", old.get(key, NOTHING), new.get(key, NOTHING))
        if not line.same:
            yield line


def _heading(row: Entry | None) -> str:
    if row is None:
        return NOTHING
    return f"{row.source or 'new'} → {row.destination} by {row.event}"


def _parts(row: Entry | None) -> dict[str, str]:
    """All else that a row says, thing by thing."""
    if row is None:
        return {}
    parts = {"actor": row.actor, "cause": row.cause or NOTHING, "operation": row.operation_id or NOTHING}
    parts |= {"at": str(row.at), "version": str(row.version)}
    parts |= {name: _json(value) for name, value in msgspec.json.decode(row.changes).items()}
    parts |= _moves(msgspec.json.decode(row.ledger))
    detail = msgspec.json.decode(row.detail) if row.detail else {}
    return parts | {name: _json(value) for name, value in detail.items() if name != INPUT}


def _moves(ledger: Iterable[list[Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for thing, where, giver, _, amount in ledger:
        key = f"{thing} {'taken' if giver == 'free' else 'given back'}"
        found[key] = ", ".join(filter(None, (found.get(key), f"{amount} at {where}")))
    return found


def _names(scene: Scene) -> dict[str, str]:
    names: dict[str, str] = {}
    for entity in (
        *(change.after for change in scene.changes),
        *scene.case[1:2],
        *scene.case.nics,
        *scene.case.volumes,
    ):
        match entity:
            case Vm() | Volume():
                names[entity.id] = entity.name
            case Nic():
                names[entity.id] = str(entity.device)
            case Operation():
                names[entity.id] = entity.kind
    return names


def _json(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
