"""Prometheus: the metrics of an engine, for a registry of the embedder's.

    async with Engine.open(url, observers=[Metrics()]): ...          # prometheus_client's own registry
    async with Engine.open(url, observers=[Metrics(registry)]): ...  # yours

    shared = Exposition(registry)                                    # several engines in one registry
    east, west = Metrics(shared, database="east"), Metrics(shared, database="west")

Promises: a scrape runs no SQL and takes no lock of the engine's; it may come from any thread. What is known only to the
database was read when the scrape before asked for it, at most one such read at a time, and says when
(`interlock_database_read_timestamp_seconds`). Counters go on when another engine is opened with the same object.
Needs prometheus_client (`interlock[prometheus]`), which nothing else imports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from interlock.engine.orchestrator import log
from interlock.engine.orchestrator.clock import now
from interlock.engine.orchestrator.view import View
from interlock.engine.store import standing
from interlock.schema.errors import EngineClosed, InterlockError, InvalidRequest
from interlock.telemetry import table
from interlock.telemetry.fill import fill
from interlock.telemetry.meter import MICROS, Labels, Meter
from interlock.telemetry.steps import Steps
from interlock.telemetry.table import METRICS, Kind, Metric

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector, CollectorRegistry
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("metrics need prometheus_client: install interlock[prometheus]") from missing

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Series = dict[Labels, float]


class Metrics(Meter):
    """What one engine does, and how it stands.

    Args:
        where: the registry, prometheus_client's own if not said; or an exposition that other engines' metrics share.
        labels: that all series get, to tell the engines of one exposition apart.

    Raises:
        InvalidRequest: the labels do not tell it from others there.
    """

    def __init__(self, where: CollectorRegistry | Exposition = REGISTRY, **labels: str) -> None:
        super().__init__()
        self.labels = labels
        self._view: View | None = None
        self._spent: Counter[str] = Counter()
        """By engines that are closed."""
        self._standing: dict[Metric, Series] = {}
        self._reading = False
        exposition = where if isinstance(where, Exposition) else Exposition(where)
        self.registry = exposition.registry
        exposition.add(self)

    def opened(self, view: View) -> None:
        """See `Observer`."""
        if self._view is not None:
            raise InvalidRequest("these metrics are another engine's: make other ones, in an Exposition with them")
        self._view = view
        self._look()

    def closed(self) -> None:
        """See `Observer`."""
        view, self._view = self._view, None
        if view is not None:
            self._spent.update(view.spent)
        self._standing = {}
        self._reading = False
        self._steps = Steps()

    # --- what is exposed

    def series(self) -> dict[Metric, Series]:
        """Counters and gauges as they are now; has the database read for the next time."""
        found: dict[Metric, Series] = {metric: dict(counts) for metric, counts in self.counts.items()}
        view = self._view
        spent = self._spent if view is None else self._spent + Counter(view.spent)
        found.update({each: {(): spent[each.counter or ""]} for each in table.STORE})
        if view is not None:
            found.update(self._standing)
            found.update(fill(view))
            found[table.EFFECTS] = {(): self.running}
            found[table.QUEUED] = {(): view.queued}
            found[table.DRIVEN] = {(): max(0, view.under_way - view.queued)}
            found[table.WAITING] = {(): view.waiting}
            self._look()
        return found

    def _look(self) -> None:
        if self._view is not None and not self._reading:
            self._reading = True
            self._view.soon(self._read, "interlock metrics")

    async def _read(self) -> None:
        view, at = self._view, now()
        try:
            if view is not None:
                active: Series = {(row[0],): row[1] for row in await view.rows(standing.active())}
                late: Series = {
                    (machine, state): count
                    for query in standing.overdue(at)
                    for machine, state, count in await view.rows(query)
                }
                read: Series = {(): at / MICROS}
                self._standing = {table.ACTIVE: active, table.OVERDUE_NOW: late, table.READ_AT: read}
        except EngineClosed:
            pass
        except InterlockError as error:
            log.say("warning", "the figures of metrics cannot be read; at the next scrape again", error=str(error))
        finally:
            self._reading = False


class Exposition(Collector):
    """What a registry asks: each metric once, with the series of all engines that share it."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._all: list[Metrics] = []
        registry.register(self)

    def add(self, metrics: Metrics) -> None:
        """Expose these as well.

        Raises:
            InvalidRequest: their labels do not tell them from the others.
        """
        for each in self._all:
            if each.labels.keys() != metrics.labels.keys() or each.labels == metrics.labels:
                raise InvalidRequest(
                    f"metrics that share an exposition with {each.labels} need these labels, other values"
                )
        self._all.append(metrics)

    def describe(self) -> Iterator[Family]:
        """The names alone, so that a registry can refuse others of the same name."""
        return (_family(metric, ()) for metric in METRICS)

    def collect(self) -> Iterator[Family]:
        """All series."""
        read = [(metrics, metrics.series()) for metrics in self._all]
        for metric in METRICS:
            family = _family(metric, tuple(self._all[0].labels) if self._all else ())
            for metrics, series in read:
                _add(family, metric, metrics, series.get(metric, {}))
            yield family


_FAMILIES: dict[Kind, type[Family]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def _family(metric: Metric, more: Labels) -> Family:
    return _FAMILIES[metric.kind](metric.name, metric.help, labels=(*more, *metric.labels))


def _add(family: Family, metric: Metric, metrics: Metrics, series: Series) -> None:
    own = tuple(metrics.labels.values())
    if isinstance(family, HistogramMetricFamily):
        for labels, histogram in list(metrics.histograms[metric].items()):
            buckets, total = histogram.read()
            family.add_metric((*own, *labels), buckets, total)
        return
    for labels, value in series.items():
        family.add_metric((*own, *labels), value)
