"""docs/reconciliation.md says what happens: each row of its tables is done by the core."""

from __future__ import annotations

from itertools import product

import pytest

from interlock.schema.reports import Report
from interlock.schema.settings import UNKNOWN_DOMAIN
from tests.test_core import vm_of
from tests.test_docs import rows
from tests.test_follow import SAYS, UP, a_vm, follow

PAGE = "docs/reconciliation.md"
FINDS = {"up": UP, "off": ("off",), "gone": ("absent", "away"), "silent": ("silent",)}
FINDS["off or gone"] = (*FINDS["off"], *FINDS["gone"])
SILENT = ("silent", "denied")
NOT_UP = tuple(each for each in SAYS if each not in UP)
ANSWERING = tuple(each for each in NOT_UP if each not in SILENT)
OTHERS = {
    "any": tuple(product(SAYS, SAYS)),
    "one finds it up": tuple(pair for pair in product(SAYS, SAYS) if sum(each in UP for each in pair) == 1),
    "none finds it up": tuple(product(NOT_UP, NOT_UP)),
    "none has it, all answer": tuple(product(ANSWERING, ANSWERING)),
    "none has it, one does not answer": tuple(
        pair for pair in product(NOT_UP, NOT_UP) if sum(each in SILENT for each in pair) == 1
    ),
}
TABLE = rows(PAGE, "## What follows")


@pytest.mark.parametrize("state", ["Running", "Unknown"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}, {row[1]}")
def test_each_row_of_what_follows_is_what_follows(row: list[str], state: str) -> None:
    its_host, others, *becomes = row
    words = becomes[["Running", "Unknown"].index(state)]
    for here, (there, third) in product(FINDS[its_host], OTHERS[others]):
        shell, says = a_vm(state), {"h-1": here, "h-2": there, "h-3": third}
        before = len(shell.journal)
        follow(shell, says, seen_on=next((host for host in ("h-2", "h-3") if says[host] in UP), None))
        vm = vm_of(shell)
        event = next((each.event for each in shell.journal[before:] if each.machine == "vm"), None)
        place = " there" if vm.host_id not in (None, "h-1") else ""
        assert words == (f"{vm.state}{place} by {event}" if event else f"stays {vm.state}"), says


def test_the_rows_are_all_there_are() -> None:
    """Whatever three hosts find, one row at least speaks of it."""
    for here, there, third in product(SAYS, SAYS, SAYS):
        if here == "denied" or (there in UP and third in UP):
            continue  # said in words below the table; which of two guests is believed is no promise
        if here in FINDS["gone"] and there in SILENT and third in SILENT:
            continue  # as with one
        spoken = [row for row in TABLE if here in FINDS[row[0]] and (there, third) in OTHERS[row[1]]]
        assert len(spoken) == 1, (here, there, third)


def test_all_that_is_told_and_all_that_can_be_set_is_listed() -> None:
    told = [cells[0].strip("`") for cells in rows(PAGE, "## What is seen")]
    assert told == [each.__name__ for each in Report.__args__]
    assert [cells[0] for cells in rows(PAGE, "## Guests that should not be")] == list(UNKNOWN_DOMAIN.choices)
