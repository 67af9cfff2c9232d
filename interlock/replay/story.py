"""A story: a cloud and what the core was told, one event after the other, played on tables in memory.

The form in which a piece of history is kept in a test: plain data, complete in itself. `interlock journal to-test`
writes such tests; nothing stops one from writing a story by hand.

A step says when (µs after the beginning), to which operation, and what: a request with the ids it is given; what the
effects answered, `"Done"` or a refusal (those that are not named: Done); or any other event of the core with its
fields. A step that does not apply any
more (the operation is not there, it waits for nothing, the request is refused) is passed over, and noted: that is what
makes it possible to leave out others.

Promises: the same story gives the same journal. Nothing is touched but memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Event, Requested, Settled, ids_needed
from interlock.engine.core.inputs import EVENTS, outcome_of
from interlock.engine.core.snapshot import Policy, Rules, Snapshot
from interlock.engine.orchestrator import plugins
from interlock.engine.store.memory import Case, MemoryStore
from interlock.engine.store.verdict import Lost
from interlock.replay.fleet import Fleet
from interlock.replay.past import Past
from interlock.replay.predicates import Found, Predicate, called, parsed
from interlock.schema.cloud import PLACES, Place
from interlock.schema.commands import Capability, Done, Outcome
from interlock.schema.errors import InterlockError, InvalidRequest
from interlock.schema.records import Operation
from interlock.schema.requests import KINDS, Request, subject_of
from interlock.schema.transition import Transition

Step = Mapping[str, Any]
DONE = "Done"


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A cloud, the rules, and what happens."""

    places: Sequence[tuple[str, dict[str, Any]]]
    """Each its table, and the columns that are not at their default."""
    steps: Sequence[Step]
    policy: dict[str, Any] = {}
    """What of it is not at its default."""
    capabilities: dict[str, Sequence[str]] = {}
    """What each driver can."""

    def play(self) -> Played:
        """Tell the core all of it."""
        played = Played(self._cloud(), self._rules())
        for number, step in enumerate(self.steps):
            played.tell(number, step)
        return played

    def _cloud(self) -> list[Place]:
        return [msgspec.convert(columns, PLACES[table]) for table, columns in self.places]

    def _rules(self) -> Rules:
        able = {driver: frozenset(map(Capability, able)) for driver, able in self.capabilities.items()}
        policy = msgspec.convert(self.policy, Policy)
        return Rules(policy=policy, planners=plugins.planners({}), gurus=plugins.gurus({}), capabilities=able)


class Played:
    """What came of a story."""

    def __init__(self, places: Iterable[Place], rules: Rules) -> None:
        self._past, self._rules = Past(places), rules
        self._waits: dict[str, Decision] = {}
        """The last decision of each operation that waits for something."""
        self.passed_over: dict[int, str] = {}
        """The numbers of steps that did not apply, with the reason."""

    @property
    def store(self) -> MemoryStore:
        """The tables: `records` by machine and id, `places` by table and id."""
        return self._past.store

    @property
    def rows(self) -> list[Transition]:
        """The journal."""
        entries = enumerate(self.store.journal, start=1)
        return [Transition(**msgspec.structs.asdict(entry), seq=number) for number, entry in entries]

    @property
    def fleet(self) -> Fleet:
        """What predicates look at: the state at the end."""
        fleet = Fleet({name: list(rows.values()) for name, rows in self.store.places.items()})
        for row in self.rows:
            fleet.add(row)
        return fleet

    def finds(self, predicate: str) -> Found:
        """Whether a predicate holds at the end, and what it saw.

        Args:
            predicate: in the words of `interlock bisect`, or MODULE:FUNCTION, which is given the fleet.

        Raises:
            InvalidRequest: it cannot be understood.
        """
        return predicate_of(predicate)(self.fleet)

    @property
    def errors(self) -> list[str]:
        """What went wrong with operations, in words, the last one first."""
        found: list[Operation] = [each for each in self.store.records["operation"].values() if each.error]
        return [each.error or "" for each in sorted(found, key=lambda each: each.since, reverse=True)]

    def tell(self, number: int, step: Step) -> None:
        """The next step."""
        try:
            self._tell(step)
        except InterlockError as refused:
            self.passed_over[number] = str(refused)

    def _tell(self, step: Step) -> None:
        id, event = step["operation"], self._event(step)
        case = self._case(id, event)
        operation, vm, nics, volumes = case
        snapshot = Snapshot(cloud=self._past.cloud, operation=operation, vm=vm, nics=nics, volumes=volumes)
        decision = self._past.asked(lambda: decide(snapshot, event, self._rules))
        verdict = self._past.write(decision)
        if isinstance(verdict, Lost):
            raise InvalidRequest(f"it cannot be written: {verdict.message}")
        if decision.effects or decision.wake_at is not None or decision.outcome is not None:
            self._waits[id] = decision

    def _event(self, step: Step) -> Event:
        """The event that a step tells.

        Raises:
            InvalidRequest: it does not apply.
        """
        if step["event"] == "Requested":
            return _requested(step)
        waiting = self._waits.get(step["operation"])
        if step["event"] == "Settled":
            if waiting is None or not waiting.effects:
                raise InvalidRequest("no effect is on its way")
            outcomes = [_outcome(each) for each in step.get("outcomes", ())][: len(waiting.effects)]
            missing = len(waiting.effects) - len(outcomes)
            return Settled(at=step["at"], outcomes=(*outcomes, *[Done()] * missing))
        if step["event"] == "Woken" and (waiting is None or waiting.wake_at is None):
            raise InvalidRequest("it does not wait")
        kind = EVENTS[step["event"]]
        fields = {name: value for name, value in step.items() if name in kind.__struct_fields__}
        return msgspec.convert(fields, kind)

    def _case(self, id: str, event: Event) -> Case:
        if isinstance(event, Requested):
            return self.store.subject(*subject_of(event.request))
        if id not in self.store.driven and id not in self.store.stuck:
            raise InvalidRequest(f"operation {id} is not under way")
        return self.store.case(id)


def predicate_of(text: str) -> Predicate:
    """A predicate in words, or the function that MODULE:FUNCTION names.

    Raises:
        InvalidRequest: it is neither.
    """
    return called(text) if re.fullmatch(r"[\w.]+:\w+", text) else parsed(text)


def _requested(step: Step) -> Requested:
    request: Request = msgspec.convert(step["request"], KINDS[step["kind"]])
    spare = [f"{step['operation']}+{number}" for number in range(ids_needed(request))]
    return Requested(
        at=step["at"],
        request=request,
        actor=step.get("actor", "somebody"),
        caller_id=step.get("caller_id"),
        ids=(step["operation"], *step.get("ids", ()), *spare),
        worker_id=step.get("worker_id"),
    )


def _outcome(said: Any) -> Outcome:
    return Done() if said == DONE else outcome_of(said)
