"""How often what happens in a run, as a table (`Mix`), and a table of its own for each run.

Runs that differ in kind reach what one average mix hardly ever does (swarm testing: Groce et al., ISSTA 2012). In each
one kind of operation has its turn, and one thing to go wrong is in focus and aimed at it; the pairs take turns with the
run's number. Same seed and number, same mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from interlock.testing.fuzz.coverage import WRONGS
from interlock.testing.fuzz.kinds import KINDS_ASKED
from interlock.testing.fuzz.network import Fault


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """How often what happens, as shares of all events. All zero: nothing goes wrong."""

    ask: float = 0.20
    """Too low: nothing meets; too high: all is refused."""
    again: float = 0.35
    """Of asks: those that somebody makes once more at once. Too low: nobody races for the last room or one address."""
    crash: float = 0.006
    """Killed, and another opened."""
    pause: float = 0.004
    takeover: float = 0.02
    cancel: float = 0.012
    defect: float = 0.002
    arrive: float = 0.02
    """Late messages that come."""
    outside: float = 0.004
    """Guests that do what no command asked for."""
    losses: float = 0.2
    """Of those: hosts that are lost, and not guests."""
    resolve: float = 0.05
    """Of a Stuck operation, if there is one."""
    fault: float = 0.16
    """Of deliveries, not of events."""
    serious: float = 0.15
    """Of faults: those that only a deadline ends."""
    forgotten: float = 0.06
    """Of faults: those whose answer dies with the worker, killed at once."""
    fate: float = 0.06
    """Of commits: those that something befalls."""
    broken_try: float = 0.02
    """Of tries that are to begin again: those on which our own code fails; of operations that what is in focus befell,
    ten times as many."""
    patience: float = 0.03
    """Waits between tries that end though others go on. Too low: what is tried again is hardly ever seen."""
    slow: float = 0.15
    """Of requests: those that are decided now and written later."""
    under_way: int = 6
    """Operations at once. Too few: they do not race; too many: a run is longer than anybody reads."""
    favourites: tuple[str, ...] = ()
    """Kinds of operations that are asked for whenever a VM's state allows."""
    unstarted: float = 0.15
    """Of deployments: those that are not started."""
    light: float = 0.0
    """Of deployments: those of the smallest VMs, where most hosts are. Too low: nothing finds another place; too high:
    nothing is scarce."""
    focus: str | None = None
    """What goes wrong more often than all else: a fault or the fate of a commit."""
    aimed_at: tuple[str, ...] = ()
    """Kinds of operations that what is in focus befalls, each operation once."""
    aim: float = 0.0
    """Of the messages or commits of those, until it has. Too low: it meets few of them; too high: always the first."""
    sequel: float = 0.0
    """Of those that it befell: the ones that are to fail after all."""
    cancelled: float = 0.5
    """Of these: the ones that are cancelled; a message of the others is refused."""


def a_mix(seed: str, number: int) -> Mix:
    """A mix of its own for each run: runs that differ in kind reach what one average mix hardly ever does.

    Source: Groce et al., "Swarm Testing", ISSTA 2012. One kind of operation and one thing to go wrong take turns with
    the number, so that in len(TURNS) times len(WRONGS) runs each has met each.
    """
    chance = Random(f"mix of {seed}/{number}")  # noqa: S311 - to repeat, not to keep a secret
    turn, kind = divmod(number, len(TURNS))
    focus = WRONGS[turn % len(WRONGS)]
    return Mix(
        fault=0.05 if TURNS[kind] == "follow" else chance.choice([0.05, 0.12, 0.25]),
        patience=0.15 if TURNS[kind] == "follow" else 0.03,
        forgotten=0.5 if focus in FINAL else chance.choice([0.05, 0.15, 0.35]),
        fate=chance.choice([0.03, 0.08, 0.2]),
        outside=0.04 if TURNS[kind] == "follow" else chance.choice([0.0, 0.003, 0.012]),
        losses=chance.choice([0.3, 0.9]) if TURNS[kind] == "follow" else chance.choice([0.1, 0.9]),
        defect=chance.choice([0.0, 0.004, 0.03]),
        cancel=0.004 if TURNS[kind] == "follow" else chance.choice([0.004, 0.012, 0.03]),
        resolve=chance.choice([0.02, 0.2]),
        slow=chance.choice([0.05, 0.4]),
        aimed_at=AIMED_AT.get(TURNS[kind], (TURNS[kind],)),
        aim=chance.choice([0.3, 0.6]),
        cancelled=0.2 if TURNS[kind] == "migrate" else 0.9 if focus in DONE else 0.5,
        unstarted=0.25 if TURNS[kind] == "expunge" else 0.15,
        sequel=SEQUEL.get(TURNS[kind], 0.05 if focus in FINAL else chance.choice([0.1, 0.5])),
        light=0.8 if TURNS[kind] == "migrate" else chance.choice([0.0, 0.0, 0.6]),
        favourites=(TURNS[kind], *_companions(chance, TURNS[kind])),
        focus=focus,
    )


def _companions(chance: Random, kind: str) -> Sequence[str]:
    some = COMPANIONS.get(kind)
    return chance.choice(some) if some else chance.sample(KINDS_ASKED, FAVOURITES)


FINAL = (Fault.REFUSE, Fault.REFUSE_VM, Fault.HANG, Fault.MUTE)
"""Faults after which nothing is asked again, unless whoever heard the answer forgets it."""
DONE = (Fault.LOST_REPLY, Fault.MUTE, Fault.DUPLICATE)
"""Faults after which it is done, so that none can say that it is not: only a cancel has it undone."""
OFTEN = {"follow": 7, "migrate": 3, "expunge": 5, "restore": 3, "detach-disk": 3, "attach-disk": 2, "resize-disk": 2}
TURNS = (*KINDS_ASKED, *(kind for kind, turns in OFTEN.items() for _ in range(turns - 1)))
"""The kinds that are hard to come by, more than once."""
AIMED_AT = {"follow": ("follow", "stop", "destroy")}
"""Where not at the kind alone whose turn it is: a VM of which nothing is known can be asked these."""
COMPANIONS = {"expunge": (("attach-disk", "detach-disk"), ("stop", "destroy"), ("stop", "migrate"))}
"""What else is in favour then: a VM that never ran has data to delete only if a disk was taken from one that did."""
SEQUEL = {"follow": 0.1, "migrate": 0.6, "expunge": 0.5}
"""Where most of what is rare comes of those that go on, or of those that fail."""
FAVOURITES = 2
"""Besides the one whose turn it is. Too few: little happens besides; too many: none is one."""
