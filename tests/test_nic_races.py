"""What a request on a VM's NICs was admitted on may be gone when it begins: an operation that was under way then ended.

Found by the fuzzer (run 112 of seed 0, shrunk). Such an operation moves the NICs and not the VM, so the request that
was decided before its end is not stale when it is written after.
"""

from __future__ import annotations

import pytest

from interlock.schema.records import Nic, Operation
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.ground import setting
from interlock.testing.fuzz.run import WORKERS, rest
from interlock.testing.fuzz.universe import Universe

NICS = [{"network": "back"}, {"network": "net"}]
DEPLOYED = (
    e.Ask(
        worker="w1",
        number=1,
        kind="deploy",
        fields={
            "zone": "a",
            "account": "system",
            "offering": "small",
            "template": "t",
            "nics": NICS,
            "start": False,
        },
    ),
    e.Think(worker="w1", operation="1-0"),
    e.Write(worker="w1", operation="1-0"),
)
"""A VM with two NICs: back is the default one."""


def _ask(number: int, kind: str, *, slow: bool = False) -> e.Ask:
    return e.Ask(worker="w1", number=number, kind=kind, fields={"vm": "1-1", "network": "net"}, slow=slow)


@pytest.mark.parametrize("late", ["set-default-nic", "remove-nic"])
@pytest.mark.parametrize("first", ["set-default-nic", "remove-nic"])
def test_a_request_that_was_decided_before_another_ended_looks_again(first: str, late: str) -> None:
    universe = Universe(setting(), WORKERS)
    try:
        story: list[e.Event] = [*DEPLOYED, _ask(2, first), e.Think(worker="w1", operation="2-0")]
        story += [_ask(3, late, slow=True), e.Write(worker="w1", operation="2-0"), e.Submit(worker="w1", number=3)]
        for event in story:
            assert universe.happen(event), f"{event} does not apply"
        for event in rest(universe):
            universe.happen(event)
        universe.oracle.quiet()
        _looked_again(universe)
    finally:
        universe.close()


def _looked_again(universe: Universe) -> None:
    operations: dict[str, Operation] = universe.store.records["operation"]
    assert operations["2-0"].state == "Succeeded"
    assert operations["3-0"].state == "Failed"
    assert operations["3-0"].error is not None and "net" in operations["3-0"].error
    nics = [each for each in universe.store.parts["1-1"].values() if isinstance(each, Nic)]
    assert sum(nic.is_default for nic in nics) == 1
