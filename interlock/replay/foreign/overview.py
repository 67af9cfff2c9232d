"""What logs say on the whole: which entities, how many transitions, what is wrong, and where our machines differ.

Promises: memory grows with the entities and with what is wrong (up to `FINDINGS`), not with the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from interlock.replay.foreign.checking import Checked, Finding, Trouble
from interlock.replay.foreign.format import Kind

FINDINGS = 10_000
"""What is wrong is kept up to this number; more is only counted. Too low: a list that ends early; too high: memory."""


@dataclass(slots=True)
class Entity:
    """One VM, host, volume or cluster: its name, and what of it is in the log."""

    sort: str
    name: str
    facts: int = 0
    transitions: int = 0
    troubles: int = 0
    states: dict[str, str] = field(default_factory=dict)
    """By machine: its last recorded state."""


@dataclass(slots=True)
class Difference:
    """A legal row of CloudStack's that ours does otherwise, and how often it was seen.

    `ours` is where ours leads, empty where it refuses; `first` is the first place.
    """

    machine: str
    source: str
    event: str
    destination: str
    ours: str
    first: str
    count: int = 0


@dataclass
class Overview:
    """Feed it what was checked, in order."""

    entities: dict[str, Entity] = field(default_factory=dict)
    kinds: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    """By machine (empty: of none) and kind of line."""
    troubles: Counter[tuple[str, Trouble]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    differences: dict[tuple[str, ...], Difference] = field(default_factory=dict)
    as_ours: int = 0
    """Transitions that ours makes just so."""
    unnamed: int = 0
    """Transitions of VMs that their lines do not name."""
    first: int | None = None
    last: int | None = None

    def add_all(self, checked: Iterable[Checked]) -> Overview:
        """Take everything in."""
        for each in checked:
            self.add(each)
        return self

    def add(self, checked: Checked) -> None:
        """Take one fact in."""
        fact, machine = checked.fact, checked.fact.machine or ""
        self.kinds[machine, fact.kind] += 1
        if fact.at is not None:
            self.first = fact.at if self.first is None else min(self.first, fact.at)
            self.last = fact.at if self.last is None else max(self.last, fact.at)
        for finding in checked.findings:
            self.troubles[machine, finding.trouble] += 1
            if len(self.findings) < FINDINGS:
                self.findings.append(finding)
        self._add_entity(checked)
        illegal = any(each.trouble is Trouble.ILLEGAL for each in checked.findings)
        if fact.kind is Kind.TRANSITION and checked.ours is not None and not illegal:
            self._compare(checked, machine)

    def _add_entity(self, checked: Checked) -> None:
        fact, whose = checked.fact, checked.whose
        moved = fact.kind is Kind.TRANSITION
        if whose is None or whose.passing:
            self.unnamed += moved
            return
        entity = self.entities.get(whose.key)
        if entity is None:
            entity = self.entities[whose.key] = Entity(whose.key.partition(" ")[0], whose.name)
        entity.name = whose.name
        entity.facts += 1
        entity.transitions += moved
        entity.troubles += len(checked.findings)
        if moved and fact.machine:
            entity.states[fact.machine] = fact.step[2]

    def _compare(self, checked: Checked, machine: str) -> None:
        row = (machine, *checked.fact.step)
        if checked.ours == row[3]:
            self.as_ours += 1
            return
        known = self.differences.get(row)
        if known is None:
            known = self.differences[row] = Difference(*row, checked.ours or "", checked.fact.place)
        known.count += 1
