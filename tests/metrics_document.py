"""docs/metrics.md, made from the table in interlock/telemetry/table.py and the text here.

    python -m tests.metrics_document > docs/metrics.md

`tests/test_metrics.py` holds the two equal.
"""

from __future__ import annotations

import sys

from interlock.telemetry.fill import MOST
from interlock.telemetry.table import METRICS, Metric

INTRODUCTION = f"""\
# Metrics and traces

<!-- Made by `python -m tests.metrics_document > docs/metrics.md`; do not edit. The table is interlock/telemetry/table.py. -->

Both are observers that are handed to `Engine.open`. An engine that was opened without them imports nothing of it, makes
no object for it, and compares one name with None where it would tell them something.

## Prometheus

`pip install 'interlock[prometheus]'`, and:

```python
from interlock import Engine
from interlock.telemetry.metrics import Metrics

async with Engine.open(url, observers=[Metrics()]) as engine:           # prometheus_client's own registry
async with Engine.open(url, observers=[Metrics(registry)]) as engine:   # a registry of yours
```

A `Metrics` is one engine's at a time; opened with the next engine, its counters go on. Several engines share a registry
through an `Exposition`, each with labels of its own:

```python
shared = Exposition(registry)
east, west = Metrics(shared, database="east"), Metrics(shared, database="west")
```

Serve the registry as your program serves it already. A program that serves nothing else has
`interlock.telemetry.serving`: `with serving("0.0.0.0:9400", registry):` answers in a thread that ends with the block.

A scrape may come from any thread. It runs no SQL and waits for nothing; with 100,000 hosts it sums them up for some tens
of milliseconds, so answer it in a thread (`await asyncio.to_thread(generate_latest, registry)`), not on the event loop.
What is *of* the `database` was read when the scrape before asked for it, one read at a time, and
`interlock_database_read_timestamp_seconds` says when. An engine that nobody scrapes reads nothing after its opening.

## The metrics

*Of* says how those of several engines on one database are put together: `worker` are to be summed; `database` and
`cloud` are the same from each, so take `max`. Labels have no ids of VMs or operations. Of clusters, pools, networks and
accounts' limits the {MOST} fullest are told apart, all others are `(others)`; pools that belong to one host are `(local)`.

| metric | type | labels | of | what |
| --- | --- | --- | --- | --- |
"""

REST = """
Times are the engine's own clock; those of an operation and its steps are counted from the journal's rows, so that of one
that was taken over they span both workers (the operation) or begin with the takeover (the step). Counters have what this
engine knows to be written: they equal the journal's rows, but for a commit whose process died before it was told of it.

## What to ask

```yaml
groups:
  - name: interlock
    rules:
      - alert: InterlockStuck            # waits for a person: interlock resolve
        expr: max(interlock_operations_active{state="Stuck"}) > 0
        for: 5m
      - alert: InterlockOverdue          # nobody drives them, or nobody can: is a worker up, can it write?
        expr: max by (machine, state) (interlock_states_overdue) > 0
        for: 10m
      - alert: InterlockQueue            # more is asked for than is carried out
        expr: sum(interlock_operations_queued) > 0 and deriv(sum(interlock_operations_queued)[15m:1m]) > 0
        for: 15m
      - alert: InterlockBlind            # the figures of the database are old: it cannot be read
        expr: time() - max(interlock_database_read_timestamp_seconds) > 600
      - alert: InterlockFailing
        expr: |
          sum by (kind) (rate(interlock_operations_total{outcome=~"Failed|Stuck"}[15m]))
            / sum by (kind) (rate(interlock_operations_total[15m])) > 0.1
      - alert: InterlockClusterFull
        expr: max by (zone, cluster) (interlock_memory_held_bytes / interlock_memory_capacity_bytes) > 0.9
```

| question | PromQL |
| --- | --- |
| deploys a second | `sum(rate(interlock_operations_total{kind="deploy",outcome="Succeeded"}[5m]))` |
| how long a deploy takes, 95 of 100 | `histogram_quantile(0.95, sum by (le) (rate(interlock_operation_seconds_bucket{kind="deploy"}[5m])))` |
| which step takes how long | `sum by (step, direction) (rate(interlock_step_seconds_sum[5m])) / sum by (step, direction) (rate(interlock_step_seconds_count[5m]))` |
| which driver refuses | `sum by (driver, command) (rate(interlock_effect_seconds_count{outcome!="done"}[5m]))` |
| decisions in a transaction | `sum(rate(interlock_batch_decisions_sum[5m])) / sum(rate(interlock_batch_decisions_count[5m]))` |
| races lost, of all decisions | `sum(rate(interlock_conflicts_total[5m])) / sum(rate(interlock_batch_decisions_sum[5m]))` |

## OpenTelemetry

`pip install 'interlock[otel]'`, the SDK and exporter of your choice, and `Engine.open(url, observers=[Traces()])` from
`interlock.telemetry.traces`; `Traces(provider)` for another than the global tracer provider. The engine needs the API
alone: without an SDK nothing is recorded, or journaled.

```
<the caller's span>
  request deploy                  where it was asked
    deploy                        one for each worker that drives it
      prepare                     one for each step, and for each undo: `undo prepare`
        PrepareNic                a driver's call; spans of the driver's own client come below it
        CreateVolume
        wait                      until it is tried again
        CreateVolume
      domain
        StartDomain
```

- The operation's transitions are events of its span, with their cause; its end is `interlock.outcome`, and an error
  unless it succeeded. Between `request deploy` and `deploy` it waited for its turn.
- The context of the request is journaled with the operation (`detail.trace` of its first row, a `traceparent`), so
  whoever takes it over after a crash goes on in the same trace, the caller's sampling included: its span stands beside
  the lost one's, with `interlock.taken_over`. A span is exported when it ends, so of a killed process only what had
  ended is seen.
- Every span has `interlock.operation.id` or stands below one that has it: `interlock history` and the trace find each
  other.

| attribute | of | what |
| --- | --- | --- |
| `interlock.operation.id`, `interlock.operation.kind`, `interlock.vm.id`, `interlock.volume.id` | request, operation | which |
| `interlock.taken_over` | operation | whether somebody else had begun it, or a person resolved it |
| `interlock.step`, `interlock.direction`, `interlock.attempt` | step | which, do or undo, for which placement |
| `interlock.effect.token`, `interlock.effect.fence` | effect | as the driver gets them |
| `interlock.driver`, `interlock.at`, `interlock.subject` | effect | who performs, at which host or pool, on what |
| `interlock.outcome` | operation, step, effect | how it ended |

## Your own

`interlock.engine.observer.Observer` is a class of methods that do nothing; override what you want to be told of, and
hand an object of it to `Engine.open(observers=…)`. It is called on the event loop and must return at once. What it raises
is logged, and stops nothing.
"""


def document() -> str:
    """The whole text."""
    return INTRODUCTION + "".join(map(_row, METRICS)) + REST


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.labels)
    return f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.of} | {metric.help} |\n"


if __name__ == "__main__":
    sys.stdout.write(document())
