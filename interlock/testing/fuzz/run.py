"""A run: events from a seed or a list, then rest, then the last look of the oracle.

Rest: nothing goes wrong any more, whoever is paused wakes, and all goes on until it has ended. What has not ended by
then never would: that is how liveness is asked. Late messages arrive at the very end, and may change nothing.

Promises: the same events give the same journal, byte for byte (`digest`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.chance import Chance, progress, until_next
from interlock.testing.fuzz.coverage import Coverage
from interlock.testing.fuzz.hypervisor import Act
from interlock.testing.fuzz.mix import Mix, a_mix
from interlock.testing.fuzz.universe import Setting, Universe
from interlock.testing.fuzz.violation import Violation

WORKERS = ("w1", "w2")
LENGTH = 400
"""Events of a run before rest. Too few: VMs do not grow old; too many: what went wrong is long to tell."""
LAST = "last"
"""The worker that is opened for rest if all are dead."""
FIRST_FOLLOW = 100_000
"""Above all numbers of requests that are drawn, so that ids do not meet."""
REST_MOST = 20_000
"""Events after which rest is given up: nothing ends by itself any more."""
ROUNDS = 8
"""How often a Stuck operation is undone once nothing goes wrong. Once should do."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run."""

    events: tuple[e.Event, ...]
    """Those that were applied, without rest."""
    count: int
    """Of all events, with rest."""
    digest: str
    """Of the journal."""
    violation: Violation | None


def play(
    setting: Setting,
    seed: str,
    number: int,
    *,
    length: int = LENGTH,
    mix: Mix | None = None,
    coverage: Coverage | None = None,
) -> Outcome:
    """A run drawn from a seed.

    Args:
        setting: the ground, and the parts under test.
        seed: any text.
        number: which of the seed's runs; the same two give the same run.
        length: events before rest.
        mix: how often what happens; None: one that is drawn from the seed, too.
        coverage: where the cells are counted.
    """
    universe = Universe(setting, WORKERS, coverage)
    chance = Chance(seed, number, universe, mix or a_mix(seed, number))
    return _played(universe, (chance.next() for _ in range(length)))


def replay(setting: Setting, events: Iterable[e.Event]) -> Outcome:
    """A run of given events."""
    return _played(Universe(setting, WORKERS), events)


def _played(universe: Universe, events: Iterable[e.Event]) -> Outcome:
    applied: list[e.Event] = []
    count, violation = 0, None
    try:
        for event in events:
            applied.append(event)
            if universe.happen(event):
                count += 1
            else:
                applied.pop()
        for event in rest(universe):
            count += universe.happen(event)
        universe.oracle.quiet()
    except Violation as found:
        violation = found
    finally:
        universe.coverage.end()
        universe.close()
    digest = hashlib.sha256("".join(entry.hash for entry in universe.store.journal).encode()).hexdigest()
    return Outcome(events=tuple(applied), count=count, digest=digest, violation=violation)


def rest(universe: Universe) -> Iterator[e.Event]:
    """The events that bring everything to its end, each yielded once the one before has happened."""
    for each in list(universe.workers.values()):
        if each.paused:
            yield e.Wake(worker=each.name)
    for host in list(universe.hypervisor.lost()):
        yield e.Outside(act=Act.IS_BACK, host=host)
    if not universe.workers:
        yield e.Open(worker=LAST)
    yield from _until_idle(universe)
    for _ in range(ROUNDS):
        worker = next(iter(universe.workers))
        for operation_id in list(universe.store.stuck):
            yield e.Resolve(worker=worker, operation=operation_id, way=_way(universe, operation_id))
        yield from _until_idle(universe)
    yield from _followed(universe)
    for name in list(universe.network.held):
        yield e.Arrive(message=name)


def _followed(universe: Universe) -> Iterator[e.Event]:
    """Every guest that went astray is looked for, as reports would have it, until its record has caught up."""
    worker = next(iter(universe.workers))
    for number in range(FIRST_FOLLOW, FIRST_FOLLOW + ROUNDS):
        for position, guest in enumerate(universe.oracle.unfollowed):
            hosts = [host for host, _ in universe.hypervisor.guests(guest)]
            if guest in universe.store.records["vm"]:
                kind, fields = "follow", {"vm": guest, "host": hosts[0] if hosts else None}
            else:
                kind, fields = "evict", {"guest": guest, "host": hosts[0] if hosts else ""}
            yield e.Ask(worker=worker, number=number * FIRST_FOLLOW + position, kind=kind, fields=fields)
        yield from _until_idle(universe)


def _way(universe: Universe, operation_id: str) -> str:
    """Undo; of what somebody vouched for falsely the undo may be refused for ever, and vouching again ends it."""
    return "accept" if universe.oracle.needs_vouching(universe.store.records["operation"][operation_id]) else "undo"


def _until_idle(universe: Universe) -> Iterator[e.Event]:
    for _ in range(REST_MOST):
        able = progress(universe)
        if able:
            yield able[0]
            continue
        taker = next(iter(universe.workers))
        if any(universe.is_abandoned(each, taker) for each in universe.store.driven):
            yield e.Recover(worker=taker)
            continue
        later = until_next(universe) if universe.store.driven else None
        if later is None:
            return
        yield later
    raise Violation(
        "liveness", f"after {REST_MOST} events without a fault, {list(universe.store.driven)} have not ended"
    )
