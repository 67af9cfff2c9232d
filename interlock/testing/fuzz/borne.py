"""What a host may keep of a VM because it refused to give it up, and that was borne: NICs of a guest that moved there.

A guest that somebody moved is adopted where it runs now: its NICs are made ready there. When one of them is refused,
the others are released again; and when the host refuses that, too, the operation ends all the same, as its header says
(`operations/follow.py`): the guest is there, and the next look goes on. Should the VM be stopped before that,
where the record has it, nobody asks for these NICs again. So the oracle does not, either: for these NICs, on that host.

Never excuses a release that nobody refused, nor one that any other step asked for.
"""

from __future__ import annotations

import msgspec

from interlock.engine.core.decision import Decision
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.operations.follow import conclusion_of
from interlock.schema.records import Operation

Left = tuple[str, str]
"""A NIC, and the host that may still have it ready."""
DONE = "Done"


def left_by(decision: Decision) -> set[Left]:
    """What a decision leaves on a host that refused to release it."""
    conclusion = conclusion_of(decision.operation.kept) if decision.operation.kind == "follow" else None
    if conclusion is None or conclusion.to is None:
        return set()
    reserved = [nic.id for nic in decision.nics if nic.state == "Reserved"]
    answers = zip(reserved, _refused_in_the_end(decision), strict=False)
    return {(nic, conclusion.to) for nic, refused in answers if refused}


def _refused_in_the_end(decision: Decision) -> list[bool]:
    """Of each release that was asked to undo `adopt`, whether it was refused for the last time."""
    for change in decision.changes:
        before, detail = change.before, change.entry.detail
        if isinstance(before, Operation) and detail is not None and _undid_adopt(before, change.entry.event):
            return [said != DONE for said in msgspec.json.decode(detail).get("outcomes", ())]
    return []


def _undid_adopt(before: Operation, event: str) -> bool:
    names = PROGRAMS[before.kind].names_of(before.request)
    return before.state == "Undoing" and names[before.step] == "adopt" and event != "UndoRetry"
