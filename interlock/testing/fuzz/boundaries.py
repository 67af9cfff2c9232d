"""Every boundary: each operation, stopped at each of its commits and effects, by each thing that can go wrong.

A scenario is played once in peace, to learn its boundaries. Then it is played once for each boundary and each wrong,
and again on its way back, after its last effect was refused: to its beginning, and where it can be placed elsewhere,
there. Every time nothing may be left half-way: the oracle's last look decides. A cell whose wrong did not befall fails:
none is skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.program import place_in
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.chance import progress
from interlock.testing.fuzz.network import Fault
from interlock.testing.fuzz.run import WORKERS, rest
from interlock.testing.fuzz.scenarios import SCENARIOS, Scenario
from interlock.testing.fuzz.universe import Setting, Universe
from interlock.testing.fuzz.violation import Violation

FIRST = WORKERS[0]
CRASH_BEFORE, CRASH_AFTER = "crash before", "crash after"
SOON = "late, soon"
"""A late effect that happens after the next commit; with `late` it happens when all is over."""
OF_COMMITS = (CRASH_BEFORE, CRASH_AFTER, *map(str, e.Fate))
OF_EFFECTS = (CRASH_BEFORE, CRASH_AFTER, *map(str, Fault), SOON)
OF_REQUESTS = (CRASH_BEFORE, CRASH_AFTER)


class Boundary(msgspec.Struct, frozen=True):
    """The n-th commit or effect of an operation on its way; `after`: once its last effect was refused so."""

    kind: str
    number: int
    after: Fault | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario, one of its boundaries, and what goes wrong there."""

    scenario: str
    boundary: Boundary
    wrong: str


class Table(msgspec.Struct, kw_only=True):
    """What the enumeration came to."""

    cells: Counter[tuple[str, str]]
    """How many were played, by scenario and by what went wrong."""
    broken: list[tuple[Cell, str]]
    """Those that broke a promise, or in which nothing went wrong though it should have."""


def enumerate_all(setting: Setting, told: Callable[[str], None] = lambda name: None) -> Table:
    """Play every cell."""
    table = Table(cells=Counter(), broken=[])
    for scenario in SCENARIOS:
        for cell in cells_of(setting, scenario):
            table.cells[scenario.name, cell.wrong] += 1
            if (reason := play(setting, scenario, cell)) is not None:
                table.broken.append((cell, reason))
        told(scenario.name)
    return table


def cells_of(setting: Setting, scenario: Scenario) -> Iterator[Cell]:
    """All cells of a scenario."""
    there = _Walk(setting, scenario).boundaries()
    back = [
        boundary
        for fault in _refusals(scenario)
        if (last := _last_effect(there))
        for boundary in _Walk(setting, scenario, refusal=(last, fault)).boundaries()
        if boundary.after is not None
    ]
    for boundary in (*there, *back):
        for wrong in {"request": OF_REQUESTS, "commit": OF_COMMITS, "effect": OF_EFFECTS}[boundary.kind]:
            yield Cell(scenario=scenario.name, boundary=boundary, wrong=wrong)


def _refusals(scenario: Scenario) -> tuple[Fault, ...]:
    """Of the VM: there is no other place. Of the host or pool: another one is chosen, if the operation chooses one."""
    chooses = place_in(PROGRAMS[scenario.asked[0]].steps) is not None
    return (Fault.REFUSE_VM, Fault.REFUSE) if chooses else (Fault.REFUSE_VM,)


def _last_effect(boundaries: list[Boundary]) -> int:
    return max((each.number for each in boundaries if each.kind == "effect"), default=0)


def play(setting: Setting, scenario: Scenario, cell: Cell) -> str | None:
    """Why the cell is broken; None if all is well."""
    refusal = None
    if cell.boundary.after is not None:
        refusal = _last_effect(_Walk(setting, scenario).boundaries()), cell.boundary.after
    walk = _Walk(setting, scenario, refusal=refusal, cell=cell)
    try:
        walk.to_the_end()
    except Violation as violation:
        return str(violation)
    return None if walk.fired else "what was to go wrong did not"


class _Walk:
    """One play of a scenario.

    Args:
        setting: the ground, and the parts under test.
        scenario: what is played.
        refusal: the number of the effect that is refused, and how, to see the way back.
        cell: where something goes wrong.
    """

    def __init__(
        self,
        setting: Setting,
        scenario: Scenario,
        *,
        refusal: tuple[int, Fault] | None = None,
        cell: Cell | None = None,
    ) -> None:
        self._universe = Universe(setting, WORKERS)
        self._scenario, self._refusal, self._cell = scenario, refusal, cell
        self._counts: Counter[str] = Counter()
        self._after: Fault | None = None
        self._found: list[Boundary] = []
        self._late: str | None = None
        self.fired = False

    def boundaries(self) -> list[Boundary]:
        """Those that are passed."""
        self.to_the_end()
        return self._found

    def to_the_end(self) -> None:
        """Play.

        Raises:
            Violation: a promise is broken.
        """
        try:
            for number, (kind, fields) in enumerate(self._scenario.before, 1):
                self._happen(e.Ask(worker=FIRST, number=number, kind=kind, fields=fields))
                self._rest()
            self._ask()
            while able := progress(self._universe):
                self._next(able[0])
            self._rest()
            self._universe.oracle.quiet()
        finally:
            self._universe.close()

    def _ask(self) -> None:
        kind, fields = self._scenario.asked
        number = len(self._scenario.before) + 1
        self._happen(e.Ask(worker=FIRST, number=number, kind=kind, fields=fields, slow=True))
        wrong = self._at("request")
        if wrong == CRASH_BEFORE:
            self._crash()
            return
        self._happen(e.Submit(worker=FIRST, number=number))
        if wrong == CRASH_AFTER:
            self._crash()

    def _next(self, event: e.Event) -> None:
        """The next event, or what goes wrong in its place."""
        if isinstance(event, e.Write):
            self._commit(event, self._at("commit"))
            if self._late is not None:
                self._happen(e.Arrive(message=self._late))
                self._late = None
        elif isinstance(event, e.Deliver):
            self._effect(event, self._at("effect"))
        else:
            self._happen(event)

    def _at(self, kind: str) -> str | None:
        """Pass a boundary; what goes wrong there."""
        self._counts[kind] += 1
        boundary = Boundary(kind, self._counts[kind], self._after)
        self._found.append(boundary)
        if self._cell is None or self._cell.boundary != boundary or self.fired:
            return None
        self.fired = True
        return self._cell.wrong

    def _commit(self, event: e.Write, wrong: str | None) -> None:
        if wrong == CRASH_BEFORE:
            self._crash()
        elif wrong is None or wrong == CRASH_AFTER:
            self._happen(event)
            if wrong is not None:
                self._universe.network.sent.clear()  # it was killed before it sent anything
                self._crash()
        else:
            self._happen(e.Write(worker=event.worker, operation=event.operation, fate=e.Fate(wrong)))

    def _effect(self, event: e.Deliver, wrong: str | None) -> None:
        number, fault = self._refusal or (0, None)
        if self._counts["effect"] == number and self._after is None:
            self._after = fault
            self._happen(e.Deliver(message=event.message, fault=fault))
        elif wrong == CRASH_BEFORE:
            del self._universe.network.sent[event.message]
            self._crash()
        elif wrong == CRASH_AFTER:
            self._happen(event)
            self._crash()
        elif wrong == SOON:
            self._happen(e.Deliver(message=event.message, fault=Fault.LATE))
            self._late = event.message
        else:
            self._happen(e.Deliver(message=event.message, fault=Fault(wrong) if wrong else None))

    def _crash(self) -> None:
        self._happen(e.Crash(worker=FIRST))

    def _happen(self, event: e.Event) -> None:
        if not self._universe.happen(event):
            raise Violation("enumeration", f"{self._scenario.name}: {event} did not apply")

    def _rest(self) -> None:
        for event in rest(self._universe):
            self._universe.happen(event)
