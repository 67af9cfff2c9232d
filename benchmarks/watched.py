"""The fuzzer's ground with an oracle that does not look, and what an event costs without the fuzzer: for `events.py`.

Who went astray is kept all the same, because what is drawn next depends on it: a seed is the same run, and leaves the
same journal, whoever watches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import msgspec

from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Event
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.schema.commands import Outcome
from interlock.schema.machine import NOT_YET
from interlock.schema.machines import MACHINES
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz import ground, worker
from interlock.testing.fuzz.network import Message
from interlock.testing.fuzz.oracle import Oracle
from interlock.testing.fuzz.universe import Setting, Universe


class Blind(Oracle):
    """Looks at nothing."""

    def wrote(self, decision: Decision) -> None:
        """See `Oracle`."""
        if decision.operation.kind in ("follow", "evict"):
            self._followed(decision.operation)

    def performed(self, message: Message, outcome: Outcome) -> None:
        """See `Oracle`."""

    def after_event(self) -> None:
        """See `Oracle`."""

    def quiet(self) -> None:
        """See `Oracle`."""


def blind() -> Setting:
    """What ships, and nobody watches."""
    return msgspec.structs.replace(ground.setting(), oracle=Blind)


class Account:
    """What became of the events of some runs."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        """Events that happened, by kind."""
        self.skipped = 0
        """Events that were drawn and did not apply; most are requests that are refused."""
        self.decisions = 0
        self.decided = 0.0
        """Processor seconds in `decide`."""
        self.moves: list[tuple[str, str, str]] = []
        """Machine, source and event of each transition."""

    def dispatched(self) -> float:
        """Processor seconds that it takes to look all transitions up in the machines' compiled tables."""
        moves = [(MACHINES[machine], source, event) for machine, source, event in self.moves if source != NOT_YET]
        began = time.process_time()
        for machine, source, event in moves:
            machine.destination(source, event)
        return time.process_time() - began


@contextmanager
def account() -> Iterator[Account]:
    """Keeps an account of the runs that are played meanwhile, in this process."""
    kept, happen, wrote = Account(), Universe.happen, Blind.wrote

    def happened(universe: Universe, event: e.Event) -> bool:
        applied = happen(universe, event)
        kept.kinds[type(event).__name__] += applied
        kept.skipped += not applied
        return applied

    def decided(snapshot: Snapshot, event: Event, rules: Rules) -> Decision:
        kept.decisions += 1
        began = time.process_time()
        try:
            return decide(snapshot, event, rules)
        finally:
            kept.decided += time.process_time() - began

    def written(oracle: Blind, decision: Decision) -> None:
        kept.moves += [(each.machine, each.entry.source, each.entry.event) for each in decision.changes]
        wrote(oracle, decision)

    with (
        patch.object(Universe, "happen", happened),
        patch.object(worker, "decide", decided),
        patch.object(Blind, "wrote", written),
    ):
        yield kept
