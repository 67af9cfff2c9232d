"""A whole installation in memory: tables, workers, network, hypervisor and a clock, moved by one event at a time.

Promises: nothing happens but by `happen`, and what happens follows from the events alone: no clock, no chance, no I/O.
The oracle looks after each event; what it finds is raised as `Violation`. An event that does not apply is skipped and
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from interlock.engine.core.decision import Decision, Effect
from interlock.engine.core.events import Broken, CancelRequested, Overdue, Resolved, Way, ids_needed
from interlock.engine.core.snapshot import Policy, Rules
from interlock.engine.store.memory import MemoryStore
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.cloud import Host, Place, StoragePool
from interlock.schema.commands import Outcome
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import KINDS, Request
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz.coverage import Coverage
from interlock.testing.fuzz.hypervisor import Hypervisor, MemoryHypervisor
from interlock.testing.fuzz.network import Message, Network
from interlock.testing.fuzz.oracle import Oracle
from interlock.testing.fuzz.violation import Violation
from interlock.testing.fuzz.worker import ACTOR, LEASE, Drive, Worker

BEGIN = 1_700_000_000_000_000
"""When every run begins, in µs: some day in 2023."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is about: the cloud, and the parts under test."""

    places: tuple[Place, ...]
    planners: Mapping[str, HostPlanner]
    gurus: Mapping[str, NetworkGuru]
    policy: Policy = Policy()
    hypervisor: Callable[[Iterable[Host], Iterable[StoragePool]], Hypervisor] = MemoryHypervisor
    oracle: Callable[[MemoryStore, Hypervisor], Oracle] = Oracle


class Universe:
    """One installation, at its beginning.

    Args:
        records: whether workers write down what they saw.
    """

    def __init__(
        self, setting: Setting, workers: Iterable[str], coverage: Coverage | None = None, *, records: bool = False
    ) -> None:
        self._records = records
        hosts = [each for each in setting.places if isinstance(each, Host)]
        pools = [each for each in setting.places if isinstance(each, StoragePool)]
        self.now = BEGIN
        self.store = MemoryStore(setting.places, self._wrote)
        self.hypervisor = setting.hypervisor(hosts, pools)
        self.network = Network(self.hypervisor, self._performed)
        drivers = {*(host.driver for host in hosts), *(pool.driver for pool in pools)}
        capabilities = dict.fromkeys(drivers, self.hypervisor.capabilities)
        self._rules = Rules(
            policy=setting.policy, planners=setting.planners, gurus=setting.gurus, capabilities=capabilities
        )
        self.workers: dict[str, Worker] = {}
        self.dead: set[str] = set()
        self.coverage = coverage or Coverage()
        self.oracle = setting.oracle(self.store, self.hypervisor)
        for name in workers:
            self._open(name)

    def close(self) -> None:
        """Let go of the hypervisor."""
        self.hypervisor.close()

    # --- events

    def happen(self, event: e.Event) -> bool:
        """Have an event happen; False if it does not apply.

        Raises:
            Violation: a promise is broken.
        """
        applied = _ON[type(event)](self, event)
        if applied:
            self.oracle.after_event()
        return applied

    def _on_ask(self, event: e.Ask) -> bool:
        worker = self._running(event.worker)
        if worker is None or event.number in worker.asked:
            return False
        try:
            request: Request = msgspec.convert(event.fields, KINDS[event.kind])
            ids = tuple(f"{event.number}-{index}" for index in range(ids_needed(request)))
            worker.ask(event.number, request, ids, self.now)
        except (InvalidRequest, msgspec.ValidationError):
            return False
        except Exception as error:
            raise Violation("defect", f"{event}: {error!r}") from error
        return event.slow or self._submitted(worker, event.number)

    def _on_submit(self, event: e.Submit) -> bool:
        worker = self._running(event.worker)
        return worker is not None and event.number in worker.asked and self._submitted(worker, event.number)

    def _submitted(self, worker: Worker, number: int) -> bool:
        return worker.submit(number) is not None

    def _on_think(self, event: e.Think) -> bool:
        worker = self._driving(event.worker, event.operation)
        return worker is not None and worker.think(event.operation, self.now)

    def _on_write(self, event: e.Write) -> bool:
        worker = self._driving(event.worker, event.operation)
        drive = worker.drives[event.operation] if worker else None
        if worker is None or drive is None or drive.thought is None:
            return False
        told, _ = drive.thought
        fence = drive.fence
        if isinstance(told, Overdue):
            # What is on its way is not waited for any more: it may still arrive.
            self.network.abandon(event.operation, fence)
        if event.fate is not None:
            self.coverage.befell(event.operation, event.fate)
        worker.write(event.operation, event.fate)
        return True

    def _wrote(self, decision: Decision) -> None:
        self.coverage.wrote(decision)
        self.oracle.wrote(decision)

    def _on_deliver(self, event: e.Deliver) -> bool:
        message = self.network.sent.get(event.message)
        if message is None:
            return False
        outcome, fired = self.network.deliver(message, event.fault)
        if fired is not None:
            self.coverage.befell(message.operation_id, fired)
        if outcome is not None:
            self._hear(message, outcome)
        return True

    def _hear(self, message: Message, outcome: Outcome) -> None:
        worker = self.workers.get(message.worker)
        drive = worker.drives.get(message.operation_id) if worker else None
        if worker is not None and drive is not None and drive.fence == message.fence:
            worker.hear(message.operation_id, message.index, outcome)

    def _on_arrive(self, event: e.Arrive) -> bool:
        if event.message not in self.network.held:
            return False
        self.network.arrive(event.message)
        return True

    def _on_outside(self, event: e.Outside) -> bool:
        if not self.hypervisor.happens(event.act, event.guest, event.host):
            return False
        if event.guest:
            self.oracle.astray(event.guest)
        return True

    def _on_cancel(self, event: e.Cancel) -> bool:
        worker = self._driving(event.worker, event.operation)
        if worker is not None:
            worker.wish(event.operation, CancelRequested(at=self.now, actor=ACTOR))
        return worker is not None

    def _on_break(self, event: e.Break) -> bool:
        worker = self._driving(event.worker, event.operation)
        drive = worker.drives[event.operation] if worker else None
        # It takes the place of what would be decided next.
        if worker is None or drive is None or drive.thought or not worker.next_event(drive, self.now):
            return False
        worker.wish(event.operation, Broken(at=self.now, error="a defect, on order"))
        return True

    def _on_resolve(self, event: e.Resolve) -> bool:
        worker, known = self._running(event.worker), self.store.records["operation"].get(event.operation)
        if worker is None or known is None or known.state != "Stuck":
            return False
        wish = Resolved(at=self.now, way=Way(event.way), actor=ACTOR, reason="on order")
        if wish.way is Way.ACCEPT:
            self.oracle.vouched(self.store.case(event.operation))
        return worker.resolve(event.operation, wish) is not None

    def _on_pass(self, event: e.Pass) -> bool:
        self.now += event.time
        return True

    def _on_crash(self, event: e.Crash) -> bool:
        worker = self.workers.pop(event.worker, None)
        if worker is not None:
            self.dead.add(worker.name)
            for operation_id, drive in worker.drives.items():
                self.coverage.crashed(operation_id, deciding=drive.thought is not None)
        return worker is not None

    def _on_pause(self, event: e.Pause) -> bool:
        worker = self._running(event.worker)
        if worker is not None:
            worker.paused, worker.lease_until = True, self.now + LEASE
        return worker is not None

    def _on_wake(self, event: e.Wake) -> bool:
        worker = self.workers.get(event.worker)
        if worker is None or not worker.paused:
            return False
        worker.paused = False
        return True

    def _on_open(self, event: e.Open) -> bool:
        if event.worker in self.workers or event.worker in self.dead:
            return False
        self._open(event.worker)
        return True

    def _open(self, name: str) -> None:
        self.workers[name] = Worker(name, self.store, self._rules, self._send, records=self._records)

    def _on_recover(self, event: e.Recover) -> bool:
        worker = self._running(event.worker)
        found = [each for each in self.store.driven if self.is_abandoned(each, event.worker)] if worker else []
        for operation_id in found:
            assert worker is not None
            worker.claim(operation_id)
        return bool(found)

    def is_abandoned(self, operation_id: str, by: str) -> bool:
        """Whether a worker may take an operation over. One that believes it drives it finds out at its next commit."""
        taker = self.workers.get(by)
        if taker is None or operation_id in taker.drives:
            return False
        owner = self.workers.get(self.store.records["operation"][operation_id].worker_id)
        return owner is None or owner is taker or (owner.paused and owner.lease_until <= self.now)

    # --- between the parts

    def _send(self, worker: Worker, drive: Drive, index: int, effect: Effect, fence: int) -> None:
        self.network.send(worker.name, drive.operation_id, index, effect, fence)

    def _performed(self, message: Message, outcome: Outcome) -> None:
        self.oracle.performed(message, outcome)

    def _running(self, name: str) -> Worker | None:
        worker = self.workers.get(name)
        return worker if worker is not None and not worker.paused else None

    def _driving(self, name: str, operation_id: str) -> Worker | None:
        worker = self._running(name)
        return worker if worker is not None and operation_id in worker.drives else None


_ON: Mapping[type[e.Event], Callable[[Universe, Any], bool]] = {
    e.Ask: Universe._on_ask,
    e.Submit: Universe._on_submit,
    e.Think: Universe._on_think,
    e.Write: Universe._on_write,
    e.Deliver: Universe._on_deliver,
    e.Arrive: Universe._on_arrive,
    e.Outside: Universe._on_outside,
    e.Cancel: Universe._on_cancel,
    e.Break: Universe._on_break,
    e.Resolve: Universe._on_resolve,
    e.Pass: Universe._on_pass,
    e.Crash: Universe._on_crash,
    e.Pause: Universe._on_pause,
    e.Wake: Universe._on_wake,
    e.Open: Universe._on_open,
    e.Recover: Universe._on_recover,
}
