"""Chance: draws the next event of a run from a seed and the run's number, among those that can happen now.

The same seed, number, ground and mix draw the same events, byte for byte. How often what happens is a table
(`mix.py`), not code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from interlock.schema.cloud import Host
from interlock.schema.records import Vm
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.aim import Aim
from interlock.testing.fuzz.asks import ODD, SENSIBLE, Asks
from interlock.testing.fuzz.hypervisor import Act
from interlock.testing.fuzz.mix import Mix
from interlock.testing.fuzz.network import Fault
from interlock.testing.fuzz.universe import Universe
from interlock.testing.fuzz.worker import LEASE, NEVER, Worker

SERIOUS = (Fault.HANG, Fault.MUTE)
"""Faults that only a deadline ends: drawn less often, since half an hour goes by with each."""


OF_GUESTS = (Act.SHUTS_DOWN, Act.CRASHES, Act.VANISHES, Act.MOVES, Act.MOVES, Act.APPEARS)
BACK = (0.001, 0.05)
"""How often a lost host comes back before the next event: as long as it has VMs of which nobody has noticed, and then.
Too low: all is refused; too high: nobody notices, or nothing befalls who does."""
BOOTED = 0.3
"""How often a guest of it is off by then. Too low: what is known again is always that all is well; too high: never."""
AHEAD = 0.5
"""How often an operation that is aimed at goes on before all others. Too low: few of them come to their end within a
run; too high: they do not race."""
ON_FOCUS = 0.4
"""How often what goes wrong is what is in focus. Too low: it meets little; too high: it meets nothing else."""


class Chance:
    """Draws events for a universe."""

    def __init__(self, seed: str, number: int, universe: Universe, mix: Mix) -> None:
        self._chance = Random(f"{seed}/{number}")  # noqa: S311 - to repeat, not to keep a secret
        self._universe, self._mix = universe, mix
        self._asks = Asks(self._chance, universe.store, mix, self._astray)
        self._aim = Aim(self._chance, universe, mix)
        self._numbers = 0
        self._last: tuple[str, dict[str, Any]] | None = None
        self._in_a_race = False
        self._opened = len(universe.workers)
        self._doomed: str | None = None
        self._chances = tuple((getattr(mix, name), make) for name, make in _WRONG.items())
        self._able: list[e.Event] | None = None
        self._lost: str | None = None
        """The host that is lost now; asking the hypervisor before each event would take a twentieth of the time."""

    def next(self) -> e.Event:
        """The next event."""
        self._able = None
        return (
            self._forgotten()
            or self._aim.cancel()
            or self._back()
            or self._something_wrong()
            or self._asked()
            or self._progress()
            or self._time()
        )

    def _back(self) -> e.Event | None:
        """A host does not stay lost for long, once all was noticed: else all of a run would be refused. It may have
        booted: then a guest that was on it is off first."""
        lost = self._lost
        if lost is None:
            return None
        states = {vm.state for vm in self._universe.store.records["vm"].values() if vm.host_id == lost}
        if self._chance.random() >= BACK["Running" not in states]:
            return None
        if "Unknown" in states and self._chance.random() < BOOTED:
            return self._gone_off(lost)
        self._lost = None
        return e.Outside(act=Act.IS_BACK, host=lost)

    def _gone_off(self, host: str) -> e.Event:
        vms: list[Vm] = list(self._universe.store.records["vm"].values())
        unknown = [vm.id for vm in vms if vm.host_id == host and vm.state == "Unknown"]
        act = self._chance.choice([Act.SHUTS_DOWN, Act.CRASHES, Act.VANISHES])
        return e.Outside(act=act, guest=self._chance.choice(unknown))

    def _forgotten(self) -> e.Event | None:
        doomed, self._doomed = self._doomed, None
        return e.Crash(worker=doomed) if doomed in self._universe.workers else None

    def _something_wrong(self) -> e.Event | None:
        draw, workers = self._chance.random(), self._universe.workers
        if not workers:
            return self._open()
        name = self._chance.choice(list(workers))
        for share, make in self._chances:
            if draw < share:
                return make(self, name)
            draw -= share
        return None

    def _pause(self, name: str) -> e.Event:
        paused = self._universe.workers[name].paused
        return e.Wake(worker=name) if paused else e.Pause(worker=name)

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
        if self._chance.random() < self._mix.losses:
            return self._loss(hosts)
        host = self._chance.choice(hosts).id
        act = self._chance.choice(OF_GUESTS)
        if act is Act.APPEARS:
            return e.Outside(act=act, guest=f"stranger-on-{host}", host=host)
        return self._of_a_guest(act, hosts)

    def _loss(self, hosts: list[Host]) -> e.Event | None:
        """One at a time, and mostly one that somebody will miss."""
        if self._lost is not None:
            return None
        missed = {vm.host_id for vm in self._universe.store.records["vm"].values() if vm.state == "Running"}
        likely = [host for host in hosts if host.id in missed] if self._chance.random() < SENSIBLE else hosts
        self._lost = self._chance.choice(likely).id if likely else None
        return e.Outside(act=Act.IS_LOST, host=self._lost) if self._lost else None

    def _of_a_guest(self, act: Act, hosts: list[Host]) -> e.Event | None:
        astray = self._universe.oracle.unfollowed
        vms = self._universe.store.records["vm"].values()
        running = [vm for vm in vms if vm.state in ("Running", "Unknown") and vm.id not in astray]
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
        """Also those of lost hosts; and those of which nothing is known, mostly once their host is back."""
        odd = self._chance.random() < ODD
        vms: list[Vm] = list(self._universe.store.records["vm"].values())
        of_lost = "Unknown" if odd else "Running"
        silent = [(vm.id, "") for vm in vms if vm.state == (of_lost if vm.host_id == self._lost else "Unknown")]
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
        idle = self._mix.ask > 0 and not self._can_go_on()
        return idle or self._in_a_race or self._chance.random() < self._mix.ask

    def _can_go_on(self) -> list[e.Event]:
        """`progress`, found once for each draw."""
        if self._able is None:
            self._able = progress(self._universe)
        return self._able

    def _progress(self) -> e.Event | None:
        able = self._can_go_on()
        if not able:
            return None
        ahead = self._aim.first(able) if self._chance.random() < AHEAD else []
        event = self._chance.choice(ahead or able)
        if isinstance(event, e.Deliver):
            return self._delivered(event)
        if isinstance(event, e.Write):
            return self._written(event)
        return self._tried_again(event) if isinstance(event, e.Think) else event

    def _tried_again(self, event: e.Think) -> e.Event:
        if self._universe.store.records["operation"][event.operation].state != "Retrying":
            return event
        share = self._mix.broken_try * (10 if self._aim.has_struck(event.operation) else 1)
        broken = self._chance.random() < share
        return e.Break(worker=event.worker, operation=event.operation) if broken else event

    def _delivered(self, event: e.Deliver) -> e.Event:
        message = self._universe.network.sent[event.message]
        fault = self._aim.fault(message.operation_id)
        if fault is None and self._chance.random() < self._mix.fault:
            fault = self._fault()
        if fault is None:
            return event
        if self._chance.random() < self._mix.forgotten:
            self._doomed = message.worker
        return e.Deliver(message=event.message, fault=fault)

    def _written(self, event: e.Write) -> e.Event:
        fate = self._aim.fate(event.operation)
        if fate is None and self._chance.random() < self._mix.fate:
            fate = self._fate()
        return event if fate is None else e.Write(worker=event.worker, operation=event.operation, fate=fate)

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


_WRONG: Mapping[str, Callable[[Chance, str], e.Event | None]] = {
    "crash": Chance._crash,
    "pause": Chance._pause,
    "takeover": Chance._takeover,
    "cancel": lambda self, name: self._of_a_drive(e.Cancel, self._universe.workers[name]),
    "defect": lambda self, name: self._of_a_drive(e.Break, self._universe.workers[name]),
    "arrive": lambda self, name: self._arrive(),
    "resolve": lambda self, name: self._resolve(),
    "outside": lambda self, name: self._outside(),
    "patience": lambda self, name: self._a_little_later(),
}
"""What may go wrong before the next event, by its share in the mix: told the worker that it befalls, if it does one."""


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
