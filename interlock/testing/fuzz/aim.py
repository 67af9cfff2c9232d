"""Aim: what is in focus befalls the operations whose turn it is, once each; and what is to become of them then.

Most of what can go wrong ends an operation one way: a refusal has it undone, a reply that is lost has it tried again.
The other way is as possible, and would hardly ever be drawn: so some are doomed to fail after all (a refusal that
follows, a cancel), and some to go on (their worker dies before it hears; `Chance` draws that).

Promises: draws from the run's own chance alone. Never says what happened: whether a fault fired is the network's to
say, and the coverage's to count.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from random import Random

from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.mix import Mix
from interlock.testing.fuzz.network import Fault
from interlock.testing.fuzz.universe import Universe


class Sequel(StrEnum):
    """What is to become of an operation after what befell it."""

    REFUSED = "refused"
    """The next message of it."""
    CANCELLED = "cancelled"


_FAULTS, _FATES = frozenset(Fault), frozenset(e.Fate)
_STEPS = (e.Think, e.Write)


class Aim:
    """Where what is in focus strikes.

    Args:
        chance: where draws come from.
        universe: what there is.
        mix: what is in focus, at what it is aimed, and how often.
    """

    def __init__(self, chance: Random, universe: Universe, mix: Mix) -> None:
        self._chance, self._universe, self._mix = chance, universe, mix
        self._fault = Fault(mix.focus) if mix.focus in _FAULTS else None
        self._fate = e.Fate(mix.focus) if mix.focus in _FATES else None
        self._sequels: dict[str, Sequel] = {}

    def fault(self, operation_id: str) -> Fault | None:
        """What is to befall a message of an operation now, if anything is."""
        if self._sequels.get(operation_id) is Sequel.REFUSED:
            del self._sequels[operation_id]
            return Fault.REFUSE
        return self._fault if self._fault is not None and self._strikes(operation_id) else None

    def fate(self, operation_id: str) -> e.Fate | None:
        """What is to befall a commit of an operation now, if anything is."""
        return self._fate if self._fate is not None and self._strikes(operation_id) else None

    def cancel(self) -> e.Event | None:
        """A cancel that is to follow now."""
        for operation_id, sequel in self._sequels.items():
            if sequel is Sequel.CANCELLED:
                del self._sequels[operation_id]
                return self._cancelled(operation_id)
        return None

    def has_struck(self, operation_id: str) -> bool:
        """Whether what is in focus befell an operation."""
        return self._mix.focus is not None and self._universe.coverage.has_befallen(operation_id, self._mix.focus)

    def first(self, able: Iterable[e.Event]) -> list[e.Event]:
        """Of what can go on, the operations that are aimed at."""
        return [event for event in able if self._is_meant(self._operation_of(event))]

    def _operation_of(self, event: e.Event) -> str | None:
        if isinstance(event, e.Deliver):
            return self._universe.network.sent[event.message].operation_id
        return event.operation if isinstance(event, _STEPS) else None

    def _is_meant(self, operation_id: str | None) -> bool:
        known = self._universe.store.records["operation"]
        return operation_id is not None and known[operation_id].kind in self._mix.aimed_at

    def _strikes(self, operation_id: str) -> bool:
        if not self._is_meant(operation_id):
            return False
        if self.has_struck(operation_id) or self._chance.random() >= self._mix.aim:
            return False
        if self._chance.random() < self._mix.sequel:
            self._sequels[operation_id] = (
                Sequel.CANCELLED if self._chance.random() < self._mix.cancelled else Sequel.REFUSED
            )
        return True

    def _cancelled(self, operation_id: str) -> e.Event | None:
        for worker in self._universe.workers.values():
            if operation_id in worker.drives and not worker.paused:
                return e.Cancel(worker=worker.name, operation=operation_id)
        return None
