"""The simulator remembers a token if and only if its command was done, whichever way the command went."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from interlock.drivers.simulator import Fault, FaultKind, faults, outside
from interlock.drivers.simulator.file import Job
from interlock.schema.commands import AnyCommand, Capability, Done, Refusal, Scope
from tests.simulated import (
    Synchronous,
    apply_rules,
    create,
    is_refused,
    look,
    migrate,
    prepare,
    rules,
    start,
    stop,
    synchronous,
    up,
)

DONE = Done()


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Synchronous]:
    """An empty cloud."""
    with synchronous(tmp_path / "world") as made:
        yield made


def test_what_was_refused_is_not_taken_as_done_when_it_is_asked_again(sim: Synchronous) -> None:
    assert is_refused(sim.say(start(), "rule"), Scope.HOST, "not ready")
    up(sim)
    sim.power_off_inside("vm1")
    assert sim.say(start(), "rule") == DONE
    assert [guest.boots for guest in sim.world().domains] == [2]
    assert is_refused(sim.say(stop(), "fence", fence=0), Scope.VM, "too low")
    assert sim.say(stop(), "fence") == DONE
    assert sim.world().domains == ()


def test_what_a_hypervisor_cannot_is_done_by_one_that_can_under_the_same_token(sim: Synchronous) -> None:
    up(sim)
    sim.capabilities -= {Capability.SECURITY_GROUPS}
    assert is_refused(sim.say(apply_rules(), "rules"), Scope.VM, "security-groups")
    sim.capabilities |= {Capability.SECURITY_GROUPS}
    assert sim.say(apply_rules(), "rules") == DONE
    assert [guest.rules for guest in sim.world().domains] == [rules()]


def test_only_what_is_done_is_remembered(sim: Synchronous) -> None:
    commands: list[AnyCommand] = [start(), look(), prepare(), migrate(), create(), create(size=11), start()]
    for number, command in enumerate(commands):
        sim.say(command, f"{number}")
    assert sim.query("SELECT token, command FROM token ORDER BY token") == [
        ("2", "PrepareNic"),
        ("4", "CreateVolume"),
        ("6", "StartDomain"),
    ]


def test_a_command_hears_what_came_before_it_in_its_transaction(sim: Synchronous) -> None:
    order = partial(faults.place, fault=Fault(kind=FaultKind.TRANSIENT, command="CreateVolume"))
    lose = partial(outside.lose, host="h1", dies=False, silent=False, now=0.0)
    jobs: list[Job] = [
        sim.job(prepare(), "1"),
        order,
        sim.job(create(), "2"),
        sim.job(create(), "3"),
        lose,
        sim.job(start(), "4"),
    ]
    answers = sim.file.run([*jobs, sim.job(prepare(), "1")])
    assert [answers[number] for number in (0, 3)] == [DONE, DONE]
    assert [answers[number].kind for number in (2, 5, 6)] == [Refusal.TRANSIENT] * 3
    assert sim.query("SELECT token FROM token ORDER BY token") == [("1",), ("3",)]
