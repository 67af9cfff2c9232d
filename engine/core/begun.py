"""Operations that another release began: where each stands in the steps this release has, found by the steps' names.

An operation's record names the steps it was begun with (`steps`) and counts them (`step`). Whoever takes it over or
resolves it comes here first, so that everybody after that may count in this release's own list:

    a step this release added before the present one   counts as entered: its undo copes with what never happened
    a step added after the present one                 is taken
    a step removed that was never entered              is not taken
    a step removed, or moved, that was entered         nobody here can undo it: the operation becomes Stuck

Promises: nothing is skipped or done twice for its place in a list. What is found is written, and journaled, with the
next transition of the operation. A release may therefore insert, remove and rename steps; one that moves or renames
a step leaves operations that are in it to a person.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.engine.core.draft import Draft
from interlock.engine.core.operations import PROGRAMS
from interlock.schema.records import Operation

UNNAMED: Mapping[str, tuple[str, ...]] = {
    "deploy": ("allocate", "place", "prepare", "domain"),
    "start": ("place", "prepare", "domain"),
    "stop": ("shutdown", "release"),
    "reboot": ("reboot",),
    "destroy": ("shutdown", "release", "mark"),
    "recover": ("mark",),
    "expunge": ("volumes", "addresses"),
    "migrate": ("place", "prepare", "move", "leave"),
    "scale": ("size",),
    "restore": ("root",),
    "assign": (),
    "create-disk": ("allocate",),
    "attach-disk": ("place", "create", "attach"),
    "detach-disk": ("detach",),
    "resize-disk": ("resize",),
    "delete-disk": ("delete",),
    "add-nic": ("allocate", "prepare", "plug"),
    "remove-nic": ("unplug", "release"),
    "set-default-nic": ("default",),
    "secure": ("rules",),
}
"""The steps of releases 0.1 and 0.2, whose records do not name them. Frozen: it says what those releases did."""


class Unknown(Exception):
    """This release cannot go on with the operation, nor undo it; the message says for want of what."""


def carry_on(draft: Draft) -> None:
    """Have the draft's operation stand in this release's steps.

    Raises:
        Unknown: it is of a kind, or has entered a step, that this release does not have.
    """
    operation = draft.operation
    if operation.kind not in PROGRAMS:
        raise Unknown(f"this release has no operation {operation.kind}")
    steps = PROGRAMS[operation.kind].names_of(operation.request)
    if steps != operation.steps:
        draft.carry(steps=steps, step=_found(operation, steps))


def _found(operation: Operation, steps: tuple[str, ...]) -> int:
    """The present step's number among `steps`; -1 before the first."""
    begun = operation.steps or UNNAMED.get(operation.kind, ())
    entered = begun[: operation.step + 1]
    if not entered:
        return -1
    gone = [name for name in entered if name not in steps]
    if gone:
        said = f"step {gone[-1]}" if len(gone) == 1 else f"steps {', '.join(gone)}"
        raise Unknown(f"this release's {operation.kind} has no {said}, which another release had entered")
    number = steps.index(entered[-1])
    if tuple(name for name in steps[: number + 1] if name in entered) != entered:
        raise Unknown(f"this release's {operation.kind} has the steps {', '.join(entered)} in another order")
    return number
