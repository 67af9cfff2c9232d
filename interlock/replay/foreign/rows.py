"""Makes journal rows of recorded transitions, so that the tools which show our journals show CloudStack's logs.

The rows are not sealed: `hash` and `prev` are empty, `tables` is 0, which no journal of ours has, and `verify` refuses
them. They hold what the log says and no more: nothing is known of what changed hands, and a VM's first row is where its
log begins, not where it did. Where we have a machine of the same subject the row carries its name, else CloudStack's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from interlock.replay.foreign import layout, renderings
from interlock.replay.foreign.checking import Checked
from interlock.replay.foreign.format import Kind
from interlock.replay.foreign.names import OURS
from interlock.schema.transition import Transition

TABLES = 0
"""The table version of rows that were made under no table of ours."""


def rows(checked: Iterable[Checked]) -> Iterator[Transition]:
    """The transitions among what was checked, numbered from 1; those of nobody that is known are left out."""
    versions: Counter[tuple[str, str]] = Counter()
    number, at = 0, 0
    for each in checked:
        at = each.fact.at if each.fact.at is not None else at
        if each.fact.kind is Kind.TRANSITION and each.whose is not None:
            number += 1
            versions[each.fact.machine or "", each.whose.key] += 1
            yield _row(each, number, at, versions[each.fact.machine or "", each.whose.key])


def _row(checked: Checked, number: int, at: int, version: int) -> Transition:
    fact, whose = checked.fact, checked.whose
    assert whose is not None and fact.machine is not None
    source, event, destination = fact.step
    job = layout.work_job(fact.thread) or layout.any_job(fact.thread)
    detail = {"file": fact.file, "line": fact.line, "format": fact.format.name}
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
        actor="cloudstack",
        cause="; ".join(each.words for each in checked.findings) or None,
        changes=_encoded({"name": whose.name, **_host(fact.said)}),
        ledger="[]",
        detail=_encoded(detail),
        tables=TABLES,
        prev="",
        hash="",
    )


def _host(said: dict[str, str]) -> dict[str, str | None]:
    if "new_host" not in said:
        return {}
    thing = renderings.read(said["new_host"])
    return {"host_id": thing.known or None}


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()
