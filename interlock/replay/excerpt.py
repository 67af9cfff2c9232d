"""A piece of a journal as a story: the events that were told about some VMs, in order, with the cloud around them.

Ids of entities and workers, and names of people, are replaced by small stable ones (`vm-1`, `op-2`, `person-1`) that
sort as the old ones did; names of VMs and places stay, for a story without them is hard to read. The cloud is as it was
when the piece ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from interlock.engine.core.events import Requested, Settled
from interlock.engine.core.snapshot import Policy
from interlock.replay.decided import Cutter, Piece
from interlock.replay.past import Past, Scene
from interlock.replay.story import DONE, Story
from interlock.schema.cloud import Place
from interlock.schema.commands import Done
from interlock.schema.holdings import COUNTERS
from interlock.schema.requests import as_fields
from interlock.schema.transition import Transition

PREFIX = {"vm": "vm", "nic": "nic", "volume": "disk", "operation": "op"}
OURS = "interlock"
"""Who asks for what the engine does by itself; kept."""
LONG = 16
"""Characters of an id that is also replaced inside of other words. Too few: words are torn that only look like it."""


class Told(msgspec.Struct, frozen=True):
    """A step, and what it is about."""

    seq: int
    vm_id: str | None
    step: dict[str, Any]


class Excerpt:
    """What was read so far.

    Args:
        last: the row at which the piece ends; the decision that it belongs to is in.
    """

    def __init__(self, last: int | None = None) -> None:
        self._past = Past()
        self._last = last
        self.is_over = False
        """Whether what comes now is behind the piece."""
        self._cutter = Cutter()
        self.told: list[Told] = []
        self._rules: Any = None
        self._ids: dict[str, str] = {}
        """By id, what it is replaced by begins with; in the order of their making."""
        self._begin: int | None = None

    def add(self, rows: Iterable[Transition]) -> None:
        """Read on."""
        for piece in self._cutter.add(rows):
            self._read(piece)

    def end(self) -> None:
        """There is no more."""
        for piece in self._cutter.end():
            self._read(piece)

    def _read(self, piece: Piece) -> None:
        self.is_over |= self._last is not None and piece.first.seq > self._last
        if self.is_over:
            return
        if not piece.is_decision:
            self._past.take_cloud(piece)
            return
        scene = self._past.scene(piece)
        if scene.event is not None:
            self._tell(scene)
        self._past.take(scene)

    def _tell(self, scene: Scene) -> None:
        first, operation = scene.piece.first, scene.operation
        if self._begin is None:
            self._begin = first.at
        for change in scene.changes:
            if change.before is None:
                self._ids.setdefault(change.after.id, PREFIX[change.machine])
        rules = (scene.piece.input or {}).get("rules")
        self._rules = rules if isinstance(rules, dict) else self._rules
        step = {"at": first.at - self._begin, "operation": operation.id, **self._step(scene)}
        self._people(step)
        self.told.append(Told(first.seq, operation.vm_id, step))

    def _step(self, scene: Scene) -> dict[str, Any]:
        event = scene.event
        name = type(event).__name__
        if isinstance(event, Requested):
            made = [change.after.id for change in scene.changes if change.before is None]
            ids = [id for id in (*made, *scene.operation.made) if id != scene.operation.id]
            asked = {name: value for name, value in as_fields(event.request).items() if value not in (None, [], {})}
            by = {"actor": event.actor, "caller_id": event.caller_id, "worker_id": event.worker_id}
            said = {name: value for name, value in by.items() if value is not None}
            return {"event": name, "kind": scene.operation.kind, "request": asked, "ids": ids, **said}
        if isinstance(event, Settled):
            outcomes = [DONE if each == Done() else msgspec.to_builtins(each) for each in event.outcomes]
            return {"event": name, "outcomes": outcomes}
        fields = msgspec.to_builtins(event)
        return {"event": name, **{key: fields[key] for key in fields if key != "at"}}

    def _people(self, step: dict[str, Any]) -> None:
        for key, prefix in (("worker_id", "worker"), ("actor", "person")):
            if (name := step.get(key)) is not None and name != OURS:
                self._ids.setdefault(name, prefix)

    # --- what comes of it

    def vms_between(self, first: int, last: int) -> set[str]:
        """The VMs that something was told about, from a row to a row."""
        return {each.vm_id for each in self.told if first <= each.seq <= last and each.vm_id is not None}

    def named(self, name: str) -> set[str]:
        """The VMs of that name or id."""
        vms = self._past.store.records["vm"]
        return {id for id, vm in vms.items() if name in (id, vm.name)}

    def story(self, vm_ids: Collection[str] | None = None) -> Story:
        """The story of some VMs, or of all."""
        told = [each.step for each in self.told if vm_ids is None or each.vm_id in vm_ids]
        rules = self._rules or {}
        return Story(
            places=[(name, place_said(name, place)) for name, place in self._places()],
            steps=told,
            policy=_unusual(msgspec.convert(rules.get("policy", {}), Policy)),
            capabilities=rules.get("capabilities", {}),
        )

    def _places(self) -> Iterable[tuple[str, Place]]:
        for name, found in self._past.store.places.items():
            yield from ((name, place) for place in found.values())

    @property
    def scrub(self) -> Callable[[Any], Any]:
        """Replaces ids in anything that JSON can say."""
        by_prefix: dict[str, list[str]] = {}
        for id, prefix in self._ids.items():
            by_prefix.setdefault(prefix, []).append(id)
        small: dict[str, str] = {}
        for prefix, ids in by_prefix.items():
            width = len(str(len(ids)))
            small |= {id: f"{prefix}-{number:0{width}}" for number, id in enumerate(sorted(ids), 1)}
        return lambda value: _replaced(value, small)


def _replaced(value: Any, small: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_replaced(key, small): _replaced(each, small) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(each, small) for each in value)
    if not isinstance(value, str):
        return value
    if value in small:
        return small[value]
    for id, name in small.items():
        if len(id) >= LONG and id in value:
            value = value.replace(id, name)
    return value


def place_said(table: str, place: Place) -> dict[str, Any]:
    """The columns of a place that are not at their default, without what is held of it."""
    said = _unusual(place)
    return {name: value for name, value in said.items() if name not in COUNTERS.get(table, ())}


def _unusual(struct: msgspec.Struct) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(struct)
    usual = {field.name: field.default for field in msgspec.structs.fields(struct)}
    empty = {field.name for field in msgspec.structs.fields(struct) if field.default_factory is not msgspec.NODEFAULT}
    return {
        name: value
        for name, value in values.items()
        if getattr(struct, name) != usual[name] and not (name in empty and not value)
    }
