"""What an operation is made of: a flat list of steps, each with a forward act and its undo.

An act has three parts. `announce` writes the transitions that say what is about to happen; they are committed before
anything does. `effects` are the driver calls, computed from the committed records alone, so that a worker that takes
over computes the same. `settle` writes what follows once all effects are Done; it may look at `draft.outcomes`, and
must keep (in `kept`) what later steps need of them. A step without effects settles in the
decision that announces it. The undo of a step must cope with effects that happened, did not, or may have.

Who owns which field of the operation's record: the steps that make something own `made`, those that replace something
or are told something `kept`, `course.py` and `decide.py` all others. Rules that refuse raise `Refusal` before they move
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.engine.core.draft import Draft
from interlock.schema.commands import AnyCommand

Rule = Callable[[Draft], None]
Effects = Callable[[Draft], tuple[AnyCommand, ...]]


class Refusal(Exception):
    """A rule finds that the operation cannot go on: it is to be undone.

    Args:
        message: why, for people.
        reasons: each candidate that was looked at, and why not.
    """

    def __init__(self, message: str, reasons: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message, self.reasons = message, reasons


def nothing(draft: Draft) -> None:
    """A rule that has nothing to write."""


def no_effects(draft: Draft) -> tuple[AnyCommand, ...]:
    """An act that asks nothing of drivers."""
    return ()


@dataclass(frozen=True, slots=True)
class Act:
    """One direction of a step."""

    announce: Rule = nothing
    effects: Effects = no_effects
    settle: Rule = nothing
    bears: bool = False
    """Whether refusals are borne: when asking again is over it is settled all the same, and `draft.outcomes` tells."""


def always(request: Mapping[str, Any]) -> bool:
    """Whether a step belongs to an operation, by what was asked: this one does."""
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """A step: what it does, how that is undone, and for which operations (by their request, which never changes).

    Records keep the name: one that is changed is another step to operations under way (`begun.py`).
    """

    name: str
    forward: Act
    undo: Act = Act()
    wanted: Callable[[Mapping[str, Any]], bool] = always


Admit = Callable[[Draft, Any, str | None, Iterator[str]], None]
"""What a request must meet besides the VM's state, and what is written with it: told the draft, the request, the
account on whose rights it is asked, and fresh ids. Raises `InvalidRequest`."""


def admit_all(draft: Draft, request: Any, caller_id: str | None, ids: Iterator[str]) -> None:
    """Nothing more to meet."""


@dataclass(frozen=True, slots=True)
class Program:
    """An operation.

    `accepts`: the VM states it may be asked in; `admit`: what else must hold; `allocates`: its first step is done by
    the request, in `admit`. Without steps, all of it is done there.
    """

    kind: str
    accepts: tuple[str, ...]
    steps: tuple[Step, ...]
    allocates: bool = False
    admit: Admit = admit_all

    @property
    def first_undone(self) -> int:
        """The step a new operation counts as having entered."""
        return 0 if self.allocates else -1

    def steps_of(self, request: Mapping[str, Any]) -> tuple[Step, ...]:
        """The steps that an operation takes by what was asked; its `step` counts them."""
        return tuple(step for step in self.steps if step.wanted(request))

    def names_of(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of those."""
        return tuple(step.name for step in self.steps_of(request))


def place_in(steps: tuple[Step, ...]) -> int | None:
    """Where the step is from which a new plan begins, if there is one."""
    return next((number for number, step in enumerate(steps) if step.name == "place"), None)
