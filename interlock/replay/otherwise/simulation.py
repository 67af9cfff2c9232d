"""The core on a cloud in memory, with a clock that only events move: plays the wishes of a script under other rules.

One engine, which does everything at its moment and loses no race. Figures are as they are written, at once.

Promises: the same script under the same rules gives the same outcome. Nothing outside is touched.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count

import msgspec

from interlock.engine.core.deadlines import deadline
from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Claimed, Event, Overdue, Requested, Settled, Woken
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.engine.store.memory import Case, MemoryStore
from interlock.engine.store.verdict import Lost
from interlock.replay.otherwise.outcome import Fill, Tally
from interlock.replay.otherwise.script import CLAIM, Ask, Described, Script, Wish, step_of
from interlock.replay.otherwise.world import World
from interlock.replay.past import Past
from interlock.replay.rules import Book
from interlock.schema.cloud import Network, Place, SettingValue
from interlock.schema.commands import Outcome
from interlock.schema.errors import InterlockError, NotFound
from interlock.schema.requests import subject_of

WORKER = "replay"
Work = Callable[[int], None]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise; nothing: the history as it was."""

    planner: str | None = None
    """Places all VMs, whatever planner they wanted."""
    gurus: dict[str, str] = {}
    """By network."""
    settings: tuple[SettingValue, ...] = ()

    def of_rules(self, rules: Rules, book: Book) -> Rules:
        """The rules that are in force instead."""
        if self.planner is None:
            return rules
        chosen = book.planner(self.planner)
        return msgspec.structs.replace(rules, planners={**dict.fromkeys(rules.planners, chosen), self.planner: chosen})

    def of_places(self, places: Iterable[Place]) -> list[Place]:
        """The cloud that is there instead."""
        replaced = {setting.id for setting in self.settings}
        kept = [self._place(place) for place in places if place.id not in replaced]
        return [*kept, *self.settings]

    def _place(self, place: Place) -> Place:
        if isinstance(place, Network) and place.id in self.gurus:
            return msgspec.structs.replace(place, guru=self.gurus[place.id])
        return place


class Simulation:
    """Plays a script once."""

    def __init__(self, script: Script, book: Book, change: Change) -> None:
        self._script, self._book, self._change = script, book, change
        self._world = World(script)
        self._past = Past()
        self._rules: dict[str, Rules] = {}
        self._due: list[tuple[int, int, Work]] = []
        self._number = count()
        self._turn: dict[str, int] = {}
        """Of each operation, how many decisions were written: what was planned before is out of date."""
        self.tally = Tally()
        self.refused: dict[str, str] = {}
        """Operations that were asked for and refused, with the reason."""

    def run(self) -> None:
        """Play all of it."""
        for wish in self._script.wishes:
            self._at(wish.at, partial(self._happened, wish))
        while self._due:
            at, _, work = heapq.heappop(self._due)
            work(at)

    @property
    def store(self) -> MemoryStore:
        """The tables at the end."""
        return self._past.store

    @property
    def fills(self) -> list[Fill]:
        """How full the hosts are."""
        return self.tally.fills(self._past.store.places["host"].values())

    def _at(self, at: int, work: Work) -> None:
        heapq.heappush(self._due, (at, next(self._number), work))

    # --- what is asked

    def _happened(self, wish: Wish | Described, at: int) -> None:
        if isinstance(wish, Described):
            self._past.describe(self._change.of_places(wish.places))
        else:
            self._wished(wish, at)

    def _wished(self, wish: Wish, at: int) -> None:
        id, event = wish.operation_id, wish.event
        rules = self._book.rules(wish.rules)
        if rules is None:
            self.refused[id] = "its rules are not in the journal"
            return
        self._rules[id] = self._change.of_rules(rules, self._book)
        try:
            decision = self._decide(self._case(id, event), id, event)
        except InterlockError as error:
            self.refused.setdefault(id, str(error))
            return
        if isinstance(event, Requested) and decision.outcome is None:
            self._plan(id, self._world.lag(id, CLAIM), Claimed(at=at, worker_id=WORKER))
        else:
            self._follow(id, decision, at)

    def _case(self, id: str, event: Event) -> Case:
        store = self._past.store
        if isinstance(event, Requested):
            return store.subject(*subject_of(event.request))
        if id not in store.records["operation"]:
            raise NotFound(f"operation {id} never was")
        return store.case(id)

    # --- what follows

    def _plan(self, id: str, lag: int, event: Event) -> None:
        """Have an operation be told something later, unless it has moved on by then."""
        turn = self._turn[id]

        def tell(at: int) -> None:
            if self._turn[id] == turn:
                told = msgspec.structs.replace(event, at=at)
                try:
                    decision = self._decide(self._case(id, told), id, told)
                except InterlockError as error:
                    self.refused[id] = f"it cannot go on: {error}"
                else:
                    self._follow(id, decision, at)

        self._at(event.at + lag, tell)

    def _follow(self, id: str, decision: Decision, at: int) -> None:
        if decision.outcome is not None:
            return
        if decision.effects:
            self._perform(id, decision, at)
        elif decision.wake_at is not None:
            self._plan(id, max(0, decision.wake_at - at), Woken(at=at))
        # Else it was only noted: what is under way answers first.

    def _perform(self, id: str, decision: Decision, at: int) -> None:
        operation = decision.operation
        asks = [Ask(type(each.command).__name__, each.command.subject, each.command.at) for each in decision.effects]
        lag = self._world.lag(id, step_of(operation.steps, operation.step, operation.state))
        outcomes = [self._world.answer(id, ask, at + lag) for ask in asks]
        heard: tuple[Outcome, ...] = tuple(each for each in outcomes if each is not None)
        if len(heard) == len(asks):
            self._plan(id, lag, Settled(at=at, outcomes=heard))
            return
        due = deadline(operation, decision.vm, decision.nics, decision.volumes)
        if due is not None:
            self._plan(id, max(0, due.at - at), Overdue(at=at, what=due.what, rule=due.rule))

    def _decide(self, case: Case, id: str, event: Event) -> Decision:
        """Decide and write.

        Raises:
            InterlockError: it is refused.
        """
        operation, vm, nics, volumes = case
        snapshot = Snapshot(cloud=self._past.cloud, operation=operation, vm=vm, nics=nics, volumes=volumes)
        decision = self._past.asked(lambda: decide(snapshot, event, self._rules[id]))
        verdict = self._past.write(decision)
        self._past.store.journal.clear()  # nobody reads it, and a day of it fills the memory
        if isinstance(verdict, Lost):
            raise InterlockError(verdict.message)
        if decision.effects or decision.outcome is not None or decision.wake_at is not None or id not in self._turn:
            self._turn[id] = self._turn.get(id, 0) + 1
        self.tally.add(decision.changes, self._past.store.places["host"])
        return decision
