"""The script of a history: what was asked, when, by whom; how the world answered, and how long that took.

Read from a journal once, decision by decision. Memory grows with the operations, not with the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from interlock.engine.core.events import CancelRequested, Claimed, Overdue, Requested, Resolved, Settled
from interlock.replay.decided import Cutter, Piece
from interlock.replay.otherwise.outcome import Fill, Tally
from interlock.replay.past import Past, Scene
from interlock.schema.cloud import Place
from interlock.schema.commands import Outcome
from interlock.schema.requests import EvictGuest, FollowVM
from interlock.schema.transition import Transition

REACTIONS = (FollowVM, EvictGuest)
"""Requests that follow from what hosts reported."""
CLAIM = ""
"""The step of a claim: the time until an operation was begun."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Something was asked."""

    operation_id: str
    event: Requested | CancelRequested | Resolved
    rules: Any
    """As the input names them."""

    @property
    def at(self) -> int:
        """When."""
        return self.event.at


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud was described anew: all of it."""

    at: int
    places: tuple[Place, ...]


class Ask(msgspec.Struct, frozen=True):
    """A command, about what, to whom."""

    command: str
    subject: str
    place: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a place answered to a command of an operation."""

    operation_id: str
    ask: Ask
    at: int
    """When it was heard."""
    outcome: Outcome | None
    """None: nothing was heard before it was too late."""


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How long a step of an operation took, in µs."""

    operation_id: str
    step: str
    length: int


class _Announced(msgspec.Struct, frozen=True):
    """Effects on their way."""

    at: int
    step: str
    asks: tuple[Ask, ...]


class Script:
    """What was read so far."""

    def __init__(self) -> None:
        self.past = Past()
        self.wishes: list[Wish | Described] = []
        self.answers: list[Answer] = []
        self.lags: list[Lag] = []
        self.left_out = 0
        """Requests that followed from what hosts reported."""
        self.without_input = 0
        """Decisions that do not say what they were told."""
        self.decisions = 0
        self.tally = Tally()
        self._cutter = Cutter()
        self._announced: dict[str, _Announced] = {}
        self._requested: dict[str, int] = {}

    def add(self, rows: Iterable[Transition]) -> None:
        """Read on."""
        for piece in self._cutter.add(rows):
            self._piece(piece)

    def end(self) -> None:
        """There is no more."""
        for piece in self._cutter.end():
            self._piece(piece)

    @property
    def fills(self) -> list[Fill]:
        """How full the hosts are."""
        return self.tally.fills(self.past.store.places["host"].values())

    def _piece(self, piece: Piece) -> None:
        if not piece.is_decision:
            self.past.take_cloud(piece)
            if piece.first.operation_id is None:
                self.wishes.append(Described(at=piece.first.at, places=self.past.places))
            return
        scene = self.past.scene(piece)
        self.decisions += 1
        self._read(scene)
        self.past.take(scene)
        self.tally.add(scene.changes, self.past.store.places["host"])

    def _read(self, scene: Scene) -> None:
        event, id = scene.event, scene.operation.id
        match event:
            case None:
                self.without_input += 1
            case Requested() if isinstance(event.request, REACTIONS):
                self.left_out += 1
            case Requested() | CancelRequested() | Resolved():
                rules = (scene.piece.input or {}).get("rules")
                self.wishes.append(Wish(operation_id=id, event=event, rules=rules))
                self._requested.setdefault(id, event.at)
            case Claimed() if id in self._requested:
                self._lag(id, CLAIM, event.at - self._requested[id])
            case Settled():
                self._settled(id, event)
            case Overdue():
                self._silent(id, event.at)
        self._announce(scene)

    def _settled(self, id: str, event: Settled) -> None:
        announced = self._announced.pop(id, None)
        if announced is None or len(announced.asks) != len(event.outcomes):
            return
        self._lag(id, announced.step, event.at - announced.at)
        for ask, outcome in zip(announced.asks, event.outcomes, strict=True):
            self.answers.append(Answer(operation_id=id, ask=ask, at=event.at, outcome=outcome))

    def _silent(self, id: str, at: int) -> None:
        announced = self._announced.pop(id, None)
        for ask in announced.asks if announced else ():
            self.answers.append(Answer(operation_id=id, ask=ask, at=at, outcome=None))

    def _lag(self, id: str, step: str, length: int) -> None:
        self.lags.append(Lag(operation_id=id, step=step, length=length))

    def _announce(self, scene: Scene) -> None:
        """Remember what the decision asks of drivers; its last word on that counts."""
        for row in scene.piece.rows:
            effects = row.details.get("effects") if row.machine == "operation" and row.detail else None
            if effects:
                asks = tuple(map(_ask, effects))
                step = step_of(scene.operation.steps, scene.operation.step, scene.operation.state)
                self._announced[scene.operation.id] = _Announced(row.at, step, asks)


def step_of(steps: tuple[str, ...], number: int, state: str) -> str:
    """A step and its direction, in words."""
    name = steps[number] if 0 <= number < len(steps) else str(number)
    return f"{name}/{'undo' if state == 'Undoing' else 'do'}"


def _ask(words: str) -> Ask:
    """`PrepareNic nic ID at PLACE`"""
    command, _, rest = words.partition(" ")
    subject, _, place = rest.rpartition(" at ")
    return Ask(command, subject, place)
