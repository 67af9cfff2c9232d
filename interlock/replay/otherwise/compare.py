"""Two outcomes of one history beside each other: what stands elsewhere, what fails only here or only there, and how
full the hosts are. Pure arithmetic over what was counted."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interlock.engine.core.events import Requested
from interlock.replay.otherwise.outcome import WELL, End, Fill, Tally
from interlock.replay.otherwise.script import Script, Wish
from interlock.replay.otherwise.simulation import Simulation

BEGUN = ("Queued", "Running", "Retrying", "Undoing")
"""Operations that a journal leaves under way: how they end is not in it."""


class Moved(msgspec.Struct, frozen=True):
    """A VM that stands elsewhere, or stood there last."""

    vm: str
    was: str | None
    would_be: str | None


class Turned(msgspec.Struct, frozen=True):
    """An operation that ends otherwise."""

    kind: str
    vm: str
    was: str
    would_be: str
    why: str
    """Of the one that failed."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One side."""

    succeeded: int
    failed: int
    refused: int
    """At once; the journal has none of these."""
    replaced: int
    """Placements that were tried again elsewhere."""
    standing: int
    """VMs that hold a host."""
    fills: list[Fill]

    def shares(self, thing: str) -> list[float]:
        """Of the hosts on which anything is held: `cpu` or `memory`."""
        return [getattr(fill, thing) for fill in self.fills if fill.cpu or fill.memory]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides, and where they differ."""

    recorded: Figures
    otherwise: Figures
    vms: int
    """All that either side has ever had."""
    moved: list[Moved]
    fails: list[Turned]
    """Would have failed, and did not."""
    succeeds: list[Turned]
    """Failed, and would not have."""

    @property
    def scarce(self) -> str:
        """What the hosts have less of: `cpu` or `memory`."""
        sides = (*self.recorded.fills, *self.otherwise.fills)
        return "cpu" if sum(fill.cpu for fill in sides) > sum(fill.memory for fill in sides) else "memory"


def compared(script: Script, simulation: Simulation) -> Comparison:
    """The recorded history beside the one that was played."""
    asked = [
        wish.operation_id for wish in script.wishes if isinstance(wish, Wish) and isinstance(wish.event, Requested)
    ]
    was, would = script.tally, simulation.tally
    turned = list(_turned(asked, was, would, simulation.refused))
    return Comparison(
        recorded=_figures(asked, was, script.fills, 0),
        otherwise=_figures(asked, would, simulation.fills, sum(id in simulation.refused for id in asked)),
        vms=len(was.vms.keys() | would.vms.keys()),
        moved=list(_moved(was, would)),
        fails=[each for each in turned if each.was == WELL],
        succeeds=[each for each in turned if each.would_be == WELL],
    )


def _figures(asked: Iterable[str], tally: Tally, fills: list[Fill], refused: int) -> Figures:
    ends = [tally.operations[id] for id in asked if id in tally.operations]
    return Figures(
        succeeded=sum(end.state == WELL for end in ends),
        failed=sum(end.state != WELL and end.state not in BEGUN for end in ends),
        refused=refused,
        replaced=sum(end.attempts - 1 for end in ends),
        standing=sum(stand.holds for stand in tally.vms.values()),
        fills=fills,
    )


def _moved(was: Tally, would: Tally) -> Iterable[Moved]:
    for vm_id, stand in {**would.vms, **was.vms}.items():
        here, there = (side.vms[vm_id].host_id if vm_id in side.vms else None for side in (was, would))
        if here != there:
            yield Moved(stand.name, here, there)


def _turned(asked: Iterable[str], was: Tally, would: Tally, refused: dict[str, str]) -> Iterable[Turned]:
    for id in asked:
        here = was.operations[id]
        there = would.operations.get(id)
        if here.state in BEGUN:
            continue
        state, why = _end(there, refused.get(id))
        if (here.state == WELL) is not (state == WELL):
            vm_id = here.vm_id or (there.vm_id if there else None) or ""
            name = next((side.vms[vm_id].name for side in (was, would) if vm_id in side.vms), vm_id)
            yield Turned(here.kind, name, here.state, state, why if here.state == WELL else here.error or "")


def _end(end: End | None, refused: str | None) -> tuple[str, str]:
    if end is None:
        return "refused", refused or ""
    return end.state, refused or end.error or ""
