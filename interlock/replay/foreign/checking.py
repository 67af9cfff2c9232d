"""Holds facts against CloudStack's own machines, and against ours.

A recorded transition can be wrong in several ways, each a `Trouble`; what leads on from a wrong one is judged by the
state that it says, so that one mistake is told once. A refusal is right when the table has no such row.

Against ours: the machine of ours with the same subject is asked for the same source and event. A difference is no
mistake of anybody's; it is counted, with the first place where it was seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from interlock.replay.foreign.fact import Fact
from interlock.replay.foreign.format import Kind
from interlock.replay.foreign.identity import JOBS, Identities, Whose
from interlock.replay.foreign.layout import newest
from interlock.replay.foreign.machines import Era, eras, machines
from interlock.replay.foreign.names import OURS
from interlock.schema.machines import MACHINES


class Trouble(StrEnum):
    """What is wrong with a fact."""

    ILLEGAL = "illegal"  # the table has no such row
    ERA = "era"  # the table has it, but not at the time of the line
    IMPOSSIBLE = "impossible"  # no transitions lead from where the entity was to where the line says it was
    GAP = "gap"  # transitions between this one and the one before are not in the log
    CONTRADICTED = "contradicted"  # it was refused, though the table has the row


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, with words for people. `missing` is the least number of transitions that a gap hides."""

    trouble: Trouble
    fact: Fact
    whose: Whose | None
    words: str
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """A fact, whose it is, what is wrong with it, and where our machine leads.

    `ours` is None where we have no such machine, and "" where ours refuses.
    """

    fact: Fact
    whose: Whose | None
    findings: tuple[Finding, ...] = ()
    ours: str | None = None


@dataclass
class Checker:
    """What was seen so far: the state of every entity. Memory grows with the entities, not with the log."""

    identities: Identities = field(default_factory=Identities)
    states: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """By machine and entity: its last recorded state, and where that stands."""
    passing: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """The same of VMs that are known by their job alone; the latest of them."""
    last: int | None = None
    """The latest time that any fact has."""

    def check(self, fact: Fact) -> Checked:
        """Judge one fact, given all before it."""
        whose = self.identities.whose(fact)
        self.last = max(filter(None, (self.last, fact.at)), default=None)
        machine = fact.machine or (_machine_of(*fact.step[:2]) if fact.format.name == "refused" else None)
        if machine is None or not fact.step[0]:
            return Checked(fact, whose)
        findings = list(self._findings(machine, fact, whose))
        ours = None
        if machine in OURS and fact.kind in (Kind.TRANSITION, Kind.REFUSED):
            ours = MACHINES[OURS[machine]].table.get(fact.step[:2], "")
        return Checked(fact, whose, tuple(findings), ours)

    def check_all(self, facts: Iterable[Fact]) -> Iterator[Checked]:
        """Judge facts in their order."""
        return map(self.check, facts)

    def _findings(self, machine: str, fact: Fact, whose: Whose | None) -> Iterator[Finding]:
        if fact.kind is Kind.TRANSITION:
            yield from _legality(machine, fact, whose)
            yield from self._continuity(machine, fact, whose)
        elif fact.kind is Kind.ECHO:
            yield from _echo(machine, fact, whose)
        elif fact.kind is Kind.REFUSED and fact.step[:2] in machines()[machine].table:
            words = f"{_who(whose)} was refused {fact.step[1]} in {fact.step[0]}, which {machine} allows"
            yield Finding(Trouble.CONTRADICTED, fact, whose, words)

    def _continuity(self, machine: str, fact: Fact, whose: Whose | None) -> Iterator[Finding]:
        if whose is None:
            return
        source, _, destination = fact.step
        states = self.passing if whose.passing else self.states
        before = states.get((machine, whose.key))
        states[machine, whose.key] = (destination, fact.place)
        if len(self.passing) > JOBS:
            del self.passing[next(iter(self.passing))]
        known = machines()[machine].states
        if before is None or before[0] == source or source not in known or before[0] not in known:
            return
        missing = ways(machine).get((before[0], source))
        since = f"it was {before[0]} since {before[1]}"
        if missing is None:
            words = f"{_who(whose)} leaves {source}, but {since}, and nothing leads from there to {source}"
            yield Finding(Trouble.IMPOSSIBLE, fact, whose, words)
        else:
            words = f"{_who(whose)} leaves {source}, but {since}: {missing} or more transitions are missing"
            yield Finding(Trouble.GAP, fact, whose, words, missing)


def _legality(machine: str, fact: Fact, whose: Whose | None) -> Iterator[Finding]:
    source, event, destination = fact.step
    added = [era for era in eras()[machine] if era.adds == fact.step]
    allowed = machines()[machine].table.get((source, event))
    if allowed != destination and not added:
        leads = f"leads to {allowed}" if allowed else "is not in its table"
        words = f"{_who(whose)} went {source} → {destination} by {event}: in {machine}, {event} in {source} {leads}"
        yield Finding(Trouble.ILLEGAL, fact, whose, words)
        return
    for era in added or [era for era in eras()[machine] if era.concerns(fact.step)]:
        if era.not_yet(_newest(fact), fact.at):
            yield Finding(Trouble.ERA, fact, whose, _too_early(era, fact, whose))


def _too_early(era: Era, fact: Fact, whose: Whose | None) -> str:
    source, event, destination = fact.step
    return f"{_who(whose)} went {source} → {destination} by {event} in a line that is too old for it: {era.why}"


def _echo(machine: str, fact: Fact, whose: Whose | None) -> Iterator[Finding]:
    source, _, destination = fact.step
    if (source, destination) not in machines()[machine].steps():
        words = f"{_who(whose)} went {source} → {destination}: no event of {machine} leads there"
        yield Finding(Trouble.ILLEGAL, fact, whose, words)


def _newest(fact: Fact) -> str | None:
    return newest(fact.thread) or fact.format.until


def _who(whose: Whose | None) -> str:
    return whose.name if whose else "(a VM that the line does not name)"


@cache
def _machine_of(source: str, event: str) -> str | None:
    """The one machine that knows both the state and the event of a refusal; None: several do, or none."""
    knows = [
        each.name
        for each in machines().values()
        if source in each.states and any(move.event == event for move in each.moves)
    ]
    return knows[0] if len(knows) == 1 else None


@cache
def ways(machine: str) -> Mapping[tuple[str, str], int]:
    """How many transitions lead at least from one state to another; pairs that nothing leads between are not in it."""
    steps = set(machines()[machine].steps()) | {(era.adds[0], era.adds[2]) for era in eras()[machine] if era.adds}
    found: dict[tuple[str, str], int] = {}
    for begin in machines()[machine].states:
        frontier, reached = deque([(begin, 0)]), {begin}
        while frontier:
            state, far = frontier.popleft()
            for _, after in sorted(step for step in steps if step[0] == state):
                if after not in reached:
                    reached.add(after)
                    found[begin, after] = far + 1
                    frontier.append((after, far + 1))
    return found
