"""Makes journal rows of recorded transitions, so that the tools which show our journals show CloudStack's logs.

The rows are not sealed: `hash` and `prev` are empty and `tables` is 0, which no journal of ours has. They hold what the
log says: nothing is known of what changed hands. Where we have a machine of the same subject a row carries its name,
else CloudStack's.

A log begins in the middle of things, and has gaps; a journal does neither. So an entity's first row is `FirstSeen`,
from nothing to where its first line finds it, and `NotInLog` leads over a gap. These two rows are ours, and say so:
their actor is `interlock`. All others are CloudStack's, one for each line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from interlock.replay.foreign import layout, renderings
from interlock.replay.foreign.checking import Checked
from interlock.replay.foreign.fact import Fact
from interlock.replay.foreign.format import Kind
from interlock.replay.foreign.identity import Whose
from interlock.replay.foreign.names import OURS
from interlock.schema.machine import NOT_YET
from interlock.schema.transition import Transition

TABLES = 0
"""The table version of rows that were made under no table of ours."""
FIRST_SEEN, NOT_IN_LOG = "FirstSeen", "NotInLog"


@dataclass(slots=True)
class _Last:
    """Where an entity was last."""

    state: str = NOT_YET
    version: int = 0


def rows(checked: Iterable[Checked]) -> Iterator[Transition]:
    """The transitions among what was checked, numbered from 1; those of nobody that is known are left out.

    For every entity each row begins where the one before it ended. Memory grows with the entities.
    """
    known: dict[tuple[str, str], _Last] = {}
    number, at = 0, 0
    for each in checked:
        fact, whose = each.fact, each.whose
        at = fact.at if fact.at is not None else at
        if fact.kind is not Kind.TRANSITION or fact.machine is None or whose is None:
            continue
        last = known.setdefault((fact.machine, whose.key), _Last())
        for step in _steps(last.state, fact.step):
            number, last.version, last.state = number + 1, last.version + 1, step[2]
            yield _row(each, whose, step, number, at, last.version)


def _steps(before: str, step: tuple[str, str, str]) -> Iterator[tuple[str, str, str]]:
    if before != step[0]:
        yield before, FIRST_SEEN if before == NOT_YET else NOT_IN_LOG, step[0]
    yield step


def _row(checked: Checked, whose: Whose, step: tuple[str, str, str], number: int, at: int, version: int) -> Transition:
    fact, told = checked.fact, step == checked.fact.step
    assert fact.machine is not None
    job = layout.work_job(fact.thread) or layout.any_job(fact.thread)
    source, event, destination = step
    return Transition(
        seq=number,
        at=at,
        machine=OURS.get(fact.machine, fact.machine),
        entity_id=whose.key,
        vm_id=whose.key if fact.machine == "cloudstack-vm" else None,
        version=version,
        event=event,
        source=source,
        destination=destination,
        operation_id=f"job-{job}" if job else None,
        actor="cloudstack" if told else "interlock",
        cause=("; ".join(each.words for each in checked.findings) or None) if told else None,
        changes=_encoded({"name": whose.name, **(_host(fact) if told else {})}),
        ledger="[]",
        detail=_encoded({"file": fact.file, "line": fact.line, "format": fact.format.name}),
        tables=TABLES,
        prev="",
        hash="",
    )


def _host(fact: Fact) -> dict[str, str | None]:
    """On which host it is from now on, where the line tells."""
    if "new_host" not in fact.said:
        return {}
    return {"host_id": renderings.read(fact.said["new_host"]).known or None}


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()
