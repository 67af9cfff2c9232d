"""The database refuses by itself to let an entity enter a state while one of its interlocks is unmet, whoever asks.

Bare SQL, as in `test_guards.py`: of each row of the table of interlocks, each need is unmet alone.
"""

from __future__ import annotations

from typing import Any

import pytest

from interlock.schema.interlocks import INTERLOCKS, Holds, HoldsNo, Interlock, Need, Related
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from tests.hand import HELD, Hand, path, what_it_holds

NEEDS = [(row, need) for row in INTERLOCKS for need in row.needs]


def _named(case: tuple[Interlock, Need]) -> str:
    row, need = case
    return f"{row.machine}-{row.state}-{need.machine if isinstance(need, Related) else need.column}"


@pytest.mark.parametrize("case", NEEDS, ids=_named)
async def test_a_state_is_not_entered_while_a_need_is_unmet(hand: Hand, case: tuple[Interlock, Need]) -> None:
    row, need = case
    async with hand.undone():
        await stand_before(hand, row, need)
        entity = await hand.row(row.machine, f"loose-{row.machine}")
        said = await hand.refusal(
            hand.journaled(row.machine, entity, destination=row.state),
            hand.changed(row.machine, entity, state=row.state, **wrongly_held(row, need)),
        )
    assert f"interlock: interlocked: no {row.machine} enters {row.state} while" in said
    assert (f"a {need.machine} is not" if isinstance(need, Related) else need.column) in said


async def stand_before(hand: Hand, row: Interlock, need: Need) -> None:
    """Bring loose entities to where the next step enters the state, and all but one need is met."""
    if isinstance(need, Related) and need.machine == "vm":
        await hand.loose(row.machine)
        await beside_a_stopping_vm(hand, row.machine)
        return
    children = {row.machine} | ({need.machine} if isinstance(need, Related) else set())
    await hand.loose(*(children - {"vm"}))
    if isinstance(need, Related):
        await hand.walk(need.machine, f"loose-{need.machine}", _in_the_way(need))
    await hand.walk(row.machine, f"loose-{row.machine}", _last_before(row))


def _last_before(row: Interlock) -> str:
    """The state from which a loose entity enters the row's state."""
    if row.state == "Stopped":
        return "Starting"
    if row.state == MACHINES[row.machine].initial:
        return "Creating"
    return ["Allocated", *path(row.machine, "Allocated", row.state)][-2]


async def beside_a_stopping_vm(hand: Hand, machine: str) -> None:
    """Bring a NIC or volume of a VM that is Stopping to where the next step ends it."""
    entity = f"loose-{machine}"
    await hand.walk(machine, entity, "Reserved" if machine == "nic" else "Ready")
    await hand.walk("vm", "loose-vm", "Stopping")
    await hand.walk(machine, entity, "Allocated" if machine == "nic" else "Destroy")


def _in_the_way(need: Related) -> str:
    """A state in which a related entity is in the way."""
    living = [each for each in MACHINES[need.machine].states.values() if each.stability is not Stability.TERMINAL]
    return next(each.name for each in living if each.name not in need.states)


def wrongly_held(row: Interlock, need: Need) -> dict[str, Any]:
    """What is held on entering, but for the one need."""
    right = what_it_holds(row.machine, row.state)
    if isinstance(need, Holds):
        return {**right, need.column: None}
    if isinstance(need, HoldsNo):
        return {**right, need.column: HELD[need.column]}
    return right


async def test_history_is_not_in_the_way(hand: Hand) -> None:
    await hand.loose("nic", "volume")
    await hand.walk("nic", "loose-nic", "Deallocated")
    await hand.walk("volume", "loose-volume", "Expunged")
    await hand.walk("vm", "loose-vm", "Running")
    assert (await hand.row("vm", "loose-vm"))["state"] == "Running"
