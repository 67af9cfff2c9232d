"""Says whose fact it is: lines name the same VM by number, by instance name, by uuid, or not at all.

Newer lines print all names at once, and from then on any of them is enough. Lines until 4.15 that tell of a transition
name no VM. There the job in the thread's context tells: a work job (`job-7/job-8`) is about one VM, and the line
`Sync job-8 execution on object VmWorkJobQueue.5` says which. Within a job the engine may start another VM, its router:
a transition belongs to the VM of the job that stands in its source state, the one that moved last first; a
`StartRequested` that none of them can take begins another VM. Before 4.3, and where the context has an API job only, a
job may be about several VMs, and one that stands where the line says may always be another.

A job's number says nothing a day later: no job lasts as long, and logs of other clouds use the same numbers.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from interlock.replay.foreign import layout, renderings
from interlock.replay.foreign.fact import Fact
from interlock.replay.foreign.format import Kind
from interlock.replay.foreign.machines import machines
from interlock.replay.foreign.renderings import NOTHING, Thing
from interlock.schema.machine import Stability

JOBS = 20_000
"""Jobs that are remembered. Too low: long jobs of a busy cloud lose their VM; too high: memory."""
VMS_OF_A_JOB = 100
"""VMs of one job that are remembered. Too low: a job that moves many loses track of them; too high: time."""
JOB_LASTS = 86_400 * 1_000_000
"""Microseconds. CloudStack's `job.expire.minutes` is 1440: a job that old is gone."""
VM = "cloudstack-vm"


@dataclass(frozen=True, slots=True)
class Whose:
    """The entity that a fact is about. `passing` tells that only its job is known: it has no number and no name."""

    key: str
    name: str
    passing: bool = False


@dataclass(slots=True)
class _Token:
    """A VM that is known by the job that moves it."""

    whose: Whose
    state: str


@dataclass(slots=True)
class _Job:
    """What a job does: the VMs that it moved, the one that moved last at the end."""

    at: int | None
    vm: str = ""
    tokens: list[_Token] | None = None


class Identities:
    """What is known of names so far. Feed it every fact, in order."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], str] = {}
        self._names: dict[str, str] = {}
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def whose(self, fact: Fact) -> Whose | None:
        """The entity of a fact; None: it is about none, or nothing tells about which."""
        if fact.kind is Kind.JOB:
            self._learn_job(fact)
            return None
        sort, thing = fact.subject
        if thing != NOTHING:
            return self._named(sort, thing)
        if fact.machine == VM and fact.kind is Kind.TRANSITION:
            return self._of_job(fact)
        return None

    def find(self, sort: str, name: str) -> str:
        """The key of an entity by any of its names; an instance name holds the number, before any line told it."""
        return self._keys.get((sort, name), f"{sort} {renderings.read(name).id or name}")

    def _named(self, sort: str, thing: Thing) -> Whose:
        known = [self._keys[sort, name] for name in (thing.id, thing.name, thing.uuid) if (sort, name) in self._keys]
        key = f"{sort} {thing.id}" if thing.id else known[0] if known else f"{sort} {thing.known}"
        for name in filter(None, (thing.id, thing.name, thing.uuid)):
            self._keys[sort, name] = key
        if thing.name:
            self._names[key] = thing.name
        return Whose(key, self._names.get(key, thing.known))

    def _learn_job(self, fact: Fact) -> None:
        number, about = fact.said.get("job"), fact.said.get("object", "")
        if number and about == "VmWorkJobQueue":
            self._job(number, fact.at).vm = fact.said["number"]

    def _of_job(self, fact: Fact) -> Whose | None:
        number = layout.work_job(fact.thread)
        strict = number is not None
        number = number or layout.any_job(fact.thread)
        if number is None:
            return None
        job = self._job(number, fact.at)
        if strict and job.vm and not job.tokens:
            job.tokens = [_Token(self._named("vm", Thing(id=job.vm)), fact.step[0])]
        return self._moved(job, number, fact, strict)

    def _job(self, number: str, at: int | None) -> _Job:
        job = self._jobs.get(number)
        if job is None or (at is not None and job.at is not None and abs(at - job.at) > JOB_LASTS):
            job = self._jobs[number] = _Job(at)
            if len(self._jobs) > JOBS:
                self._jobs.popitem(last=False)
        return job

    def _moved(self, job: _Job, number: str, fact: Fact, strict: bool) -> Whose:
        source, event, destination = fact.step
        tokens = job.tokens = job.tokens or []
        token = next((each for each in reversed(tokens) if each.state == source), None)
        if token is None and tokens and not _begins_another(source, event, strict):
            token = tokens[-1]  # it does not follow, and is found out
        if token is None:
            token = _Token(_unnamed(number, job.at, len(tokens)), source)
        else:
            tokens.remove(token)
        token.state = destination
        tokens.append(token)
        del tokens[:-VMS_OF_A_JOB]
        return token.whose


def _begins_another(source: str, event: str, strict: bool) -> bool:
    if strict:
        return event == "StartRequested"
    state = machines()[VM].states.get(source)
    return state is not None and state.stability is not Stability.TRANSITIONAL


def _unnamed(number: str, at: int | None, others: int) -> Whose:
    more = f" ({others + 1})" if others else ""
    # The time keeps apart what another cloud, or the same much later, did under the same number.
    return Whose(f"job {number} {at or ''}{more}", f"(VM of job-{number}{more})", passing=True)
