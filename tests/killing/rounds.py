"""The kinds of rounds, move by move.

    alone     one process is killed, its successor perhaps too, and so on; the last one is left to finish
    pair      two processes on one database; one is killed, and on PostgreSQL the other paused past its lease and
              resumed when a third has taken over all that was theirs
    outage    the server is struck dead under one process, and comes back

Each returns what was found; a round that finds nothing wrong has no `wrongs`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from interlock.drivers.simulator import Fault, FaultKind, Simulator, World
from interlock.schema.machines import MACHINES
from interlock.schema.operation import DRIVEN
from interlock.schema.transition import Transition
from tests.bare import bare, literal, value
from tests.killing.asker import Asks
from tests.killing.diary import Kind, Stage
from tests.killing.grounds import Ground, Place, PostgresqlGround
from tests.killing.plan import FEW_ASKS, IN_FLIGHT, Moment, Plan
from tests.killing.process import Death, Process
from tests.killing.verdict import Aftermath, aftermath, journal_of, taken_over, trespasses, world_of, wrongs
from tests.killing.worker import Orders

SHORT = 1.0
"""A lease, in seconds, where one is to run out."""
LONG = 30.0
"""A lease as it is in production: nobody waits for it where processes are known to be dead."""
NOTHING = Asks(0)


class Result(msgspec.Struct, kw_only=True):
    """What became of a round."""

    seed: int
    kind: str
    wrongs: list[str]
    deaths: list[Death]
    pauses: list[Death]
    accepted: int = 0
    """Requests that were acknowledged."""
    operations: Counter[str]
    """How many there were of each kind."""
    states: Counter[str]
    """How many machines are in each state in the end."""
    fired: int = 0
    """Faults that came true."""
    stuck: int = 0
    """Operations that were Stuck on the way, for a refusal on order, and were resolved."""
    taken_over: int = 0
    """Operations that went from one worker to another."""
    fenced: int = 0
    """Commands of those who had lost an operation that the hypervisor refused by their fence."""
    seconds: float = 0.0


UNTOLD = """
    SELECT count(*) FROM security_group JOIN security_member ON security_member.group_id = security_group.id
    JOIN vm ON vm.id = security_member.vm_id WHERE vm.host_id IS NOT NULL AND vm.rules_told < security_group.version
"""
"""VMs whose hosts were not told the rules of a group."""


class Round:
    """One place, and the processes on it."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place, self.plan = place, plan
        self.crew: list[Process] = []
        self.failed = False
        self._orders: list[tuple[FaultKind, int]] = []

    def begin(self, *, successor: bool, asks: Asks = NOTHING, last: bool = False, lease: float = LONG) -> Process:
        """Begin one more process."""
        name = "abcdefgh"[len(self.crew)]
        process = Process(
            Orders(
                url=self.place.url,
                world=self.place.world,
                said=self.place.folder / f"said-{name}",
                name=name,
                seed=str(self.plan.seed),
                latency=self.plan.latency,
                jitter=self.plan.jitter,
                making=self.plan.fresh,
                successor=successor,
                last=last,
                asks=asks,
                lease=lease,
            )
        )
        self.crew.append(process)
        return process

    def order(self, faults: Sequence[Fault]) -> None:
        """Order the faults."""

        async def order() -> None:
            async with await Simulator.at(self.place.world) as simulator:
                self._orders = [(fault.kind, await simulator.order(fault)) for fault in faults]

        asyncio.run(order())

    def calm(self) -> None:
        """Commands do not hang any more: whoever is to finish would wait for ever, or for a deadline of hours."""

        async def calm() -> None:
            async with await Simulator.at(self.place.world) as simulator:
                for kind, number in self._orders:
                    if kind is FaultKind.HANG:
                        await simulator.recall(number)

        asyncio.run(calm())

    def fired(self) -> int:
        """How often the faults came true."""

        async def count() -> int:
            async with await Simulator.at(self.place.world) as simulator:
                return sum([await simulator.fired(number) for _, number in self._orders])

        return asyncio.run(count())

    def finish(self, process: Process) -> Iterator[str]:
        """See a process end by itself; yields what is wrong with that."""
        code = process.end()
        if code != 0:
            yield f"process {process.name} did not end well: exit code {code}; it said: {self._said(process.name)}"

    def _said(self, name: str) -> str:
        return (self.place.folder / f"said-{name}").read_text()[-2000:]

    def is_under_way(self) -> bool:
        """Whether an operation waits for somebody to go on with it, or a host to be told rules."""

        async def count() -> int:
            async with bare(self.place.url) as database:
                states = ", ".join(map(literal, DRIVEN))
                driven = await value(database, f"SELECT count(*) FROM operation WHERE state IN ({states})")
                return int(driven) + int(await value(database, UNTOLD))

        return asyncio.run(count()) > 0

    def glance(self) -> tuple[list[Transition], World]:
        """The journal and the world as they are now."""

        async def read() -> tuple[list[Transition], World]:
            async with bare(self.place.url) as database:
                return await journal_of(database), await world_of(self.place)

        return asyncio.run(read())

    def look(self) -> Aftermath:
        """All there is now."""
        return asyncio.run(aftermath(self.place))


def alone(ground: Ground, plan: Plan) -> Result:
    """Kill, restart, perhaps kill again, let finish."""
    with _round(ground, plan) as this:
        for number, moment in enumerate(plan.deaths):
            process = this.begin(successor=number > 0, asks=Asks(8, 8) if number else Asks(plan.asks))
            process.reach(moment)
            process.kill()
        this.calm()
        found = list(this.finish(this.begin(successor=True, last=True)))
        return _result("alone", this, found)


def pair(ground: Ground, plan: Plan) -> Result:
    """Two at once."""
    with _round(ground, plan) as this:
        pauses = isinstance(ground, PostgresqlGround)
        lease = SHORT if pauses else LONG
        first = this.begin(successor=False, asks=Asks(plan.asks), lease=lease)
        other = this.begin(successor=False, asks=Asks(FEW_ASKS), lease=lease)
        if pauses:
            other.reach(plan.pause)
            other.pause(this.place.world)
        first.reach(plan.deaths[0])
        first.kill()
        this.calm()
        third = this.begin(successor=True, last=True, lease=lease)
        found = [*this.finish(third), *(_resumed(this, other) if pauses else this.finish(other))]
        if this.is_under_way():  # what the other one has begun since is left to whoever comes next
            found += this.finish(this.begin(successor=True, last=True))
        return _result("pair", this, found)


def _resumed(this: Round, paused: Process) -> Iterator[str]:
    """It wakes when others have done all that was its own."""
    journal, truth = this.glance()
    paused.go_on()
    yield from this.finish(paused)
    longer, later = this.glance()
    begun = {row.operation_id for row in journal if row.operation_id}  # rows of the cloud are of none
    late = [row for row in longer[len(journal) :] if row.operation_id in begun]
    if late:
        yield f"rows of operations that others had ended were written by one that was resumed: {late[:3]}"
    if len(longer) == len(journal) and later != truth:
        yield "one that was resumed changed the world, and no row of the journal says why"


def outage(ground: PostgresqlGround, plan: Plan) -> Result:
    """The server dies under load."""
    with _round(ground, plan) as this:
        this.calm()
        process = this.begin(successor=False, asks=Asks(FEW_ASKS), last=True)
        ground.settle()
        process.reach(Moment(Stage.ASKING, Kind.ACKED, plan.seed % IN_FLIGHT))
        for later in plan.outages:
            time.sleep(later)
            ground.server.crash()
            time.sleep(plan.down)
            ground.server.start()
        return _result("outage", this, list(this.finish(process)))


@contextmanager
def _round(ground: Ground, plan: Plan) -> Iterator[Round]:
    this = Round(ground.place(f"round-{plan.seed}", fresh=plan.fresh), plan)
    failed = True
    try:
        this.order(plan.faults)
        yield this
        failed = this.failed
    finally:
        for process in this.crew:
            process.bury()
        ground.leave(this.place, failed=failed)


def _result(kind: str, this: Round, found: Sequence[str]) -> Result:
    after, told = this.look(), [process.marks for process in this.crew]
    result = Result(
        seed=this.plan.seed,
        kind=kind,
        wrongs=[*found, *wrongs(after, told), *trespasses(after, told)],
        deaths=[process.death for process in this.crew if process.death],
        pauses=[process.paused for process in this.crew if process.paused],
        operations=Counter(each.kind for each in after.operations if each.actor != "embedder"),
        states=Counter(f"{machine} {each.state}" for machine in MACHINES for each in after.tables[machine].values()),
        accepted=sum(mark.kind is Kind.ACKED for marks in told for mark in marks),
        stuck=len({mark.about for marks in told for mark in marks if mark.kind is Kind.STUCK}),
        taken_over=taken_over(after),
        fenced=sum("is too low" in mark.text for marks in told for mark in marks if mark.kind is Kind.EFFECTED),
        fired=this.fired(),
    )
    if result.wrongs:
        this.failed = True
        this.place.note(result.wrongs, after.journal, told)
    return result
