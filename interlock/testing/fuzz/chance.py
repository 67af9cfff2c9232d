"""Chance: draws the next event of a run from a seed and the run's number, among those that can happen now.

The same seed, number, ground and mix draw the same events, byte for byte. How often what happens is a table
(`Mix`), not code.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from interlock.schema.cloud import Host
from interlock.schema.records import Vm
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.asks import KINDS_ASKED, Asks
from interlock.testing.fuzz.coverage import WRONGS
from interlock.testing.fuzz.hypervisor import Act
from interlock.testing.fuzz.network import Fault
from interlock.testing.fuzz.universe import Universe
from interlock.testing.fuzz.worker import LEASE, NEVER, Worker

SERIOUS = (Fault.HANG, Fault.MUTE)
"""Faults that only a deadline ends: drawn less often, since half an hour goes by with each."""


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
    patience: float = 0.03
    """Waits between tries that end though others go on. Too low: what is tried again is hardly ever seen."""
    slow: float = 0.15
    """Of requests: those that are decided now and written later."""
    under_way: int = 6
    """Operations at once. Too few: they do not race; too many: a run is longer than anybody reads."""
    favourites: tuple[str, ...] = ()
    """Kinds of operations that are asked for whenever a VM's state allows."""
    focus: str | None = None
    """What goes wrong more often than all else: a fault or the fate of a commit."""


def a_mix(seed: str, number: int) -> Mix:
    """A mix of its own for each run: runs that differ in kind reach what one average mix hardly ever does.

    Source: Groce et al., "Swarm Testing", ISSTA 2012. One kind of operation and one thing to go wrong take turns with
    the number, so that in len(TURNS) times len(WRONGS) runs each has met each.
    """
    chance = Random(f"mix of {seed}/{number}")  # noqa: S311 - to repeat, not to keep a secret
    turn, kind = divmod(number, len(TURNS))
    focus = WRONGS[turn % len(WRONGS)]
    return Mix(
        fault=0.25 if TURNS[kind] == "follow" else chance.choice([0.05, 0.12, 0.25]),
        forgotten=0.5 if focus in FINAL else chance.choice([0.05, 0.15, 0.35]),
        fate=chance.choice([0.03, 0.08, 0.2]),
        outside=0.04 if TURNS[kind] == "follow" else chance.choice([0.0, 0.003, 0.012]),
        losses=chance.choice([0.1, 0.9]),
        defect=chance.choice([0.0, 0.004, 0.03]),
        cancel=chance.choice([0.004, 0.012, 0.03]),
        resolve=chance.choice([0.02, 0.2]),
        slow=chance.choice([0.05, 0.4]),
        favourites=(TURNS[kind], *chance.sample(KINDS_ASKED, FAVOURITES)),
        focus=focus,
    )


FINAL = (Fault.REFUSE, Fault.REFUSE_VM, Fault.HANG, Fault.MUTE)
"""Faults after which nothing is asked again, unless whoever heard the answer forgets it."""
TURNS = (*KINDS_ASKED, "restore", "attach-disk", "restore", "detach-disk", *(["follow"] * 5), "migrate", "expunge")
"""The kinds that are hard to come by, more than once."""
FAVOURITES = 2
"""Besides the one whose turn it is. Too few: little happens besides; too many: none is one."""
BACK = (0.003, 0.05)
"""How often a lost host comes back before the next event: as long as nobody has noticed, and then. Too low: all is
refused; too high: nobody notices, or nothing befalls who does."""
ON_FOCUS = 0.4
"""How often what goes wrong is what is in focus. Too low: it meets little; too high: it meets nothing else."""


class Chance:
    """Draws events for a universe."""

    def __init__(self, seed: str, number: int, universe: Universe, mix: Mix) -> None:
        self._chance = Random(f"{seed}/{number}")  # noqa: S311 - to repeat, not to keep a secret
        self._universe, self._mix = universe, mix
        self._asks = Asks(self._chance, universe.store, mix.favourites, self._astray)
        self._numbers = 0
        self._last: tuple[str, dict[str, Any]] | None = None
        self._in_a_race = False
        self._opened = len(universe.workers)
        self._doomed: str | None = None

    def next(self) -> e.Event:
        """The next event."""
        return (
            self._forgotten()
            or self._back()
            or self._something_wrong()
            or self._asked()
            or self._progress()
            or self._time()
        )

    def _back(self) -> e.Event | None:
        """A host does not stay lost for long, once it was noticed: else all of a run would be refused."""
        lost = list(self._universe.hypervisor.lost())
        if not lost:
            return None
        noticed = any(vm.state == "Unknown" for vm in self._universe.store.records["vm"].values())
        return e.Outside(act=Act.IS_BACK, host=lost[0]) if self._chance.random() < BACK[noticed] else None

    def _forgotten(self) -> e.Event | None:
        doomed, self._doomed = self._doomed, None
        return e.Crash(worker=doomed) if doomed in self._universe.workers else None

    def _something_wrong(self) -> e.Event | None:
        draw, mix, workers = self._chance.random(), self._mix, self._universe.workers
        if not workers:
            return self._open()
        name = self._chance.choice(list(workers))
        chances: tuple[tuple[float, Callable[[], e.Event | None]], ...] = (
            (mix.crash, lambda: self._crash(name)),
            (mix.pause, lambda: e.Wake(worker=name) if workers[name].paused else e.Pause(worker=name)),
            (mix.takeover, lambda: self._takeover(name)),
            (mix.cancel, lambda: self._of_a_drive(e.Cancel, workers[name])),
            (mix.defect, lambda: self._of_a_drive(e.Break, workers[name])),
            (mix.arrive, self._arrive),
            (mix.resolve, self._resolve),
            (mix.outside, self._outside),
            (mix.patience, self._a_little_later),
        )
        for share, make in chances:
            if draw < share:
                return make()
            draw -= share
        return None

    def _open(self) -> e.Event:
        self._opened += 1
        return e.Open(worker=f"w{self._opened}")

    def _crash(self, name: str) -> e.Event:
        alone = len(self._universe.workers) == 1
        return self._open() if alone or self._chance.random() < 0.5 else e.Crash(worker=name)

    def _takeover(self, name: str) -> e.Event | None:
        found = any(self._universe.is_abandoned(each, name) for each in self._universe.store.driven)
        return e.Recover(worker=name) if found and not self._universe.workers[name].paused else None

    def _of_a_drive(self, kind: type[e.Cancel] | type[e.Break], worker: Worker) -> e.Event | None:
        if not worker.drives or worker.paused:
            return None
        return kind(worker=worker.name, operation=self._chance.choice(list(worker.drives)))

    def _arrive(self) -> e.Event | None:
        held = list(self._universe.network.held)
        return e.Arrive(message=self._chance.choice(held)) if held else None

    def _resolve(self) -> e.Event | None:
        stuck = list(self._universe.store.stuck)
        if not stuck or not self._universe.workers:
            return None
        worker = self._chance.choice(list(self._universe.workers))
        way = self._chance.choice(["retry", "undo", "undo", "accept"])
        return e.Resolve(worker=worker, operation=self._chance.choice(stuck), way=way)

    def _outside(self) -> e.Event | None:
        """Mostly to a VM's guest; it is moved within its cluster. Sometimes a stranger appears, or a host is lost."""
        hosts: list[Host] = list(self._universe.store.places["host"].values())
        host = self._chance.choice(hosts).id
        if self._chance.random() < self._mix.losses:
            return e.Outside(act=Act.IS_LOST, host=host)
        act = self._chance.choice([each for each in Act if each not in (Act.IS_LOST, Act.IS_BACK)])
        if act is Act.APPEARS:
            return e.Outside(act=act, guest=f"stranger-on-{host}", host=host)
        return self._of_a_guest(act, hosts)

    def _of_a_guest(self, act: Act, hosts: list[Host]) -> e.Event | None:
        running = [vm for vm in self._universe.store.records["vm"].values() if vm.state in ("Running", "Unknown")]
        if not running:
            return None
        vm: Vm = self._chance.choice(running)
        if act is not Act.MOVES:
            return e.Outside(act=act, guest=vm.id)
        [cluster] = [host.cluster_id for host in hosts if host.id == vm.host_id]
        near = [host.id for host in hosts if host.cluster_id == cluster and host.id != vm.host_id]
        return e.Outside(act=act, guest=vm.id, host=self._chance.choice(near)) if near else None

    def _a_little_later(self) -> e.Event | None:
        """The next try of somebody who waits; no deadline."""
        later = until_next(self._universe)
        return later if later is not None and later.time < LEASE else None

    def _astray(self) -> list[tuple[str, str]]:
        """Also those of lost hosts, and those of which nothing is known."""
        lost = set(self._universe.hypervisor.lost())
        vms: list[Vm] = list(self._universe.store.records["vm"].values())
        silent = [(vm.id, "") for vm in vms if vm.state == "Unknown" or (vm.state == "Running" and vm.host_id in lost)]
        guests = self._universe.oracle.unfollowed
        seen = self._universe.hypervisor.guests
        return [*silent, *((guest, next((host for host, _ in seen(guest)), "")) for guest in guests)]

    def _asked(self) -> e.Event | None:
        awake = [name for name, worker in self._universe.workers.items() if not worker.paused]
        if not awake or len(self._universe.store.driven) >= self._mix.under_way or not self._is_time_to_ask():
            return None
        again = self._last is not None and self._chance.random() < self._mix.again
        self._last = self._last if again else self._asks.draw()
        if self._last is None:
            return None
        kind, fields = self._last
        self._numbers += 1
        slow = self._chance.random() < self._mix.slow
        self._in_a_race = slow and not self._in_a_race
        return e.Ask(worker=self._chance.choice(awake), number=self._numbers, kind=kind, fields=fields, slow=slow)

    def _is_time_to_ask(self) -> bool:
        """By chance; and while a request waits to be written, or where nothing can go on: else most of a run would be
        waiting for the next one who asks."""
        idle = self._mix.ask > 0 and not progress(self._universe)
        return idle or self._in_a_race or self._chance.random() < self._mix.ask

    def _progress(self) -> e.Event | None:
        able = list(progress(self._universe))
        if not able:
            return None
        event = self._chance.choice(able)
        if isinstance(event, e.Deliver) and self._chance.random() < self._mix.fault:
            if self._chance.random() < self._mix.forgotten:
                self._doomed = self._universe.network.sent[event.message].worker
            return e.Deliver(message=event.message, fault=self._fault())
        if isinstance(event, e.Write) and self._chance.random() < self._mix.fate:
            return e.Write(worker=event.worker, operation=event.operation, fate=self._fate())
        return event

    def _on_focus(self) -> str | None:
        return self._mix.focus if self._chance.random() < ON_FOCUS else None

    def _fault(self) -> Fault:
        focus = self._on_focus()
        if focus in list(Fault):
            return Fault(focus)
        serious = self._chance.random() < self._mix.serious
        return self._chance.choice([each for each in Fault if (each in SERIOUS) is serious])

    def _fate(self) -> e.Fate:
        focus = self._on_focus()
        return e.Fate(focus) if focus in list(e.Fate) else self._chance.choice(list(e.Fate))

    def _time(self) -> e.Event:
        left = [name for name, worker in self._universe.workers.items() if self._takeover(name)]
        if left:
            return e.Recover(worker=left[0])
        return until_next(self._universe) or e.Pass(time=LEASE)


def progress(universe: Universe) -> list[e.Event]:
    """All that can go on by itself now: thoughts, commits and deliveries."""
    able: list[e.Event] = []
    for worker in universe.workers.values():
        if worker.paused:
            continue
        for number in worker.asked:
            able.append(e.Submit(worker=worker.name, number=number))
        for operation_id, drive in worker.drives.items():
            if drive.thought is not None:
                able.append(e.Write(worker=worker.name, operation=operation_id))
            elif worker.next_event(drive, universe.now) is not None:
                able.append(e.Think(worker=worker.name, operation=operation_id))
    able.extend(e.Deliver(message=name) for name in universe.network.sent)
    return able


def until_next(universe: Universe) -> e.Pass | None:
    """The time until something is due; None if nothing ever is."""
    times = [worker.wakes_at(drive) for worker in universe.workers.values() for drive in worker.drives.values()]
    times += [worker.lease_until for worker in universe.workers.values() if worker.paused]
    later = min((time for time in times if time > universe.now), default=NEVER)
    return None if later >= NEVER else e.Pass(time=later - universe.now)
