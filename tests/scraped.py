"""A scrape, as Prometheus reads it: the text that prometheus_client writes, taken apart by its own parser."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from interlock.schema.transition import CLOUD, Transition
from tests.world import World

ENDS = ("Succeeded", "Failed", "Cancelled", "Stuck")


class Scrape:
    """One answer of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text = generate_latest(registry).decode()
        self.families: dict[str, Family] = {each.name: each for each in text_string_to_metric_families(text)}

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one name, by the values of their labels in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name
        }

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 if there is none."""
        return self.series(name).get(tuple(value for _, value in sorted(labels.items())), 0.0)


async def fresh(registry: CollectorRegistry) -> Scrape:
    """What the database says is read when a scrape asks: the answer after the next one has it."""
    before = Scrape(registry).value("interlock_database_read_timestamp_seconds")
    while True:
        scrape = Scrape(registry)
        if scrape.value("interlock_database_read_timestamp_seconds") > before:
            return scrape
        await asyncio.sleep(0.001)


class Truth:
    """What the journal says that should have been counted."""

    def __init__(self, rows: list[Transition], kinds: Mapping[str, str]) -> None:
        mine = [row for row in rows if row.machine != CLOUD]
        own = [(row, kinds[row.entity_id]) for row in mine if row.machine == "operation"]
        self.transitions = Counter((row.event, row.machine) for row in mine)
        self.requests = Counter((kind,) for row, kind in own if row.version == 1)
        self.outcomes = Counter((kind, row.destination) for row, kind in own if row.destination in ENDS)
        self.replans = Counter((kind,) for row, kind in own if (row.source, row.event) == ("Undoing", "OperationRetry"))
        taken = {row.seq for row in _taken_over([row for row, _ in own])}
        self.takeovers = Counter((kind,) for row, kind in own if row.seq in taken)

    @classmethod
    async def of(cls, lab: World) -> Truth:
        """Of a whole journal."""
        rows = [row async for page in lab.engine.journal() for row in page]
        ids = {row.entity_id for row in rows if row.machine == "operation"}
        return cls(rows, {each: (await lab.engine.handle(each)).kind for each in ids})

    def assert_counted(self, scrape: Scrape) -> None:
        """What a scrape says is the same, to the last one."""
        assert scrape.series("interlock_transitions_total") == self.transitions
        assert scrape.series("interlock_requests_total") == self.requests
        assert scrape.series("interlock_operations_total") == self.outcomes
        assert scrape.series("interlock_operation_seconds_count") == self.outcomes
        assert scrape.series("interlock_replans_total") == self.replans
        assert +Counter(scrape.series("interlock_takeovers_total")) == self.takeovers


def _taken_over(rows: list[Transition]) -> list[Transition]:
    """Claims of what was under way under another worker's name."""
    owner: dict[str, str | None] = {}
    found = []
    for row in rows:
        before = owner.get(row.entity_id)
        owner[row.entity_id] = now = row.changed.get("worker_id", before)
        if row.event == "Claimed" and row.source != "Queued" and before not in (None, now):
            found.append(row)
    return found
