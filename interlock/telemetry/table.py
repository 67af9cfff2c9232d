"""The metrics: one table, which `metrics.py` exposes and docs/metrics.md is made from.

Labels take their values from tables of the code (kinds, states, events, steps), or from the cloud, of which never more
than `metrics.MOST` are told apart: no label is the name of a VM or an operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from interlock.telemetry.histogram import COUNTS, SECONDS


class Kind(StrEnum):
    """As Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Of(StrEnum):
    """Of what a metric speaks, and so how several workers' are put together."""

    WORKER = "worker"  # what this engine did or has: to be summed
    DATABASE = "database"  # what all have together, as one of them has read it: the same from each, not to be summed
    CLOUD = "cloud"  # what is held of the cloud, as this engine knows it: the same from each, not to be summed


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One row, itself alone its equal; a counter's samples end in `_total`, which its name does not."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    of: Of
    help: str
    bounds: tuple[float, ...] = ()
    counter: str | None = None
    """What of `View.spent` it shows."""

    @property
    def exposed(self) -> str:
        """The name as Prometheus has it."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def _counter(name: str, labels: tuple[str, ...], help: str, counter: str | None = None) -> Metric:
    return Metric(f"interlock_{name}", Kind.COUNTER, labels, Of.WORKER, help, counter=counter)


def _gauge(name: str, labels: tuple[str, ...], of: Of, help: str) -> Metric:
    return Metric(f"interlock_{name}", Kind.GAUGE, labels, of, help)


def _histogram(name: str, labels: tuple[str, ...], bounds: tuple[float, ...], help: str) -> Metric:
    return Metric(f"interlock_{name}", Kind.HISTOGRAM, labels, Of.WORKER, help, bounds)


# What operations do
REQUESTS = _counter("requests", ("kind",), "Operations that were asked for and accepted.")
OPERATIONS = _counter("operations", ("kind", "outcome"), "Operations that ended, or are Stuck.")
OPERATION_SECONDS = _histogram(
    "operation_seconds", ("kind", "outcome"), SECONDS, "From request to end, queueing and takeovers included."
)
STEP_SECONDS = _histogram(
    "step_seconds",
    ("kind", "step", "direction", "outcome"),
    SECONDS,
    "Of a step (direction do) or its undo, tries and waits included; outcome done, refused, stuck or cancelled.",
)
EFFECT_SECONDS = _histogram(
    "effect_seconds",
    ("command", "driver", "outcome"),
    SECONDS,
    "Of a driver's call; outcome done, permanent, transient, unknown, or cut (it did not answer in time).",
)
EFFECTS = _gauge("effects_running", (), Of.WORKER, "Drivers' calls that have not answered.")
RETRIES = _counter("retries", ("kind", "direction"), "Steps, or undos of steps, that are tried again.")
REPLANS = _counter("replans", ("kind",), "Operations that were undone as far as needed to be placed anew.")
TAKEOVERS = _counter("takeovers", ("kind",), "Operations under way that this engine took over from another worker.")
OVERDUE = _counter("overdue", ("machine", "state"), "States that passed their deadline while this engine drove.")
TRANSITIONS = _counter("transitions", ("machine", "event"), "Journal rows of VMs, NICs, volumes and operations.")

# What waits
DRIVEN = _gauge("operations_driven", (), Of.WORKER, "Operations that this engine drives now.")
QUEUED = _gauge("operations_queued", (), Of.WORKER, "Operations that this engine will drive when others have ended.")
WAITING = _gauge("commits_waiting", (), Of.WORKER, "Decisions that wait for the next batch.")
ACTIVE = _gauge("operations_active", ("state",), Of.DATABASE, "Operations that have not ended, in all the database.")
OVERDUE_NOW = _gauge(
    "states_overdue",
    ("machine", "state"),
    Of.DATABASE,
    "Entities in a state that should have been left by now, in all the database: nobody drives them, or cannot.",
)
READ_AT = _gauge("database_read_timestamp_seconds", (), Of.WORKER, "When the figures of all the database were read.")

# What commits cost
COMMIT_SECONDS = _histogram("commit_seconds", (), SECONDS, "From the moment something is decided until it is durable.")
BATCH = _histogram("batch_decisions", (), COUNTS, "Decisions in one transaction.")
CONFLICTS = _counter("conflicts", ("why",), "Decisions that lost a race, by what they lost (stale, room, name, …).")
STORE = (
    _counter("store_transactions", (), "Transactions of the commit path.", "commits"),
    _counter("store_statements", (), "Statements of the commit path.", "statements"),
    _counter("store_batches_alone", (), "Batches that were written decision by decision.", "retried_alone"),
    _counter(
        "store_serialization_failures",
        (),
        "Transactions that PostgreSQL gave up for others', and that were done again.",
        "serialization_failures",
    ),
    _counter("store_deadlocks", (), "Transactions given up in a deadlock, and done again.", "deadlocks"),
)

# What is held
CPU_HELD = _gauge("cpu_held_hertz", ("zone", "cluster"), Of.CLOUD, "CPU that VMs hold of a cluster's hosts.")
CPU_ALL = _gauge("cpu_capacity_hertz", ("zone", "cluster"), Of.CLOUD, "CPU of a cluster's hosts.")
MEMORY_HELD = _gauge("memory_held_bytes", ("zone", "cluster"), Of.CLOUD, "Memory that VMs hold of a cluster's hosts.")
MEMORY_ALL = _gauge("memory_capacity_bytes", ("zone", "cluster"), Of.CLOUD, "Memory of a cluster's hosts.")
SPACE_HELD = _gauge("storage_held_bytes", ("zone", "pool"), Of.CLOUD, "Space that disks take of a pool.")
SPACE_ALL = _gauge("storage_capacity_bytes", ("zone", "pool"), Of.CLOUD, "Space of a pool, overcommit included.")
ADDRESSES_HELD = _gauge(
    "addresses_held", ("zone", "network"), Of.CLOUD, "IPv4 addresses owned in a network that this engine has read."
)
ADDRESSES_ALL = _gauge(
    "addresses_capacity", ("zone", "network"), Of.CLOUD, "IPv4 addresses that such a network may give."
)
QUOTA = _gauge("quota_used_ratio", ("account", "thing"), Of.CLOUD, "Share of an account's limit that is used.")

METRICS: tuple[Metric, ...] = (
    REQUESTS,
    OPERATIONS,
    OPERATION_SECONDS,
    STEP_SECONDS,
    EFFECT_SECONDS,
    EFFECTS,
    RETRIES,
    REPLANS,
    TAKEOVERS,
    OVERDUE,
    TRANSITIONS,
    DRIVEN,
    QUEUED,
    WAITING,
    ACTIVE,
    OVERDUE_NOW,
    READ_AT,
    COMMIT_SECONDS,
    BATCH,
    CONFLICTS,
    *STORE,
    CPU_HELD,
    CPU_ALL,
    MEMORY_HELD,
    MEMORY_ALL,
    SPACE_HELD,
    SPACE_ALL,
    ADDRESSES_HELD,
    ADDRESSES_ALL,
    QUOTA,
)
"""In the order in which they are exposed."""

OF_MOVES: dict[tuple[str, str], tuple[Metric, tuple[str, ...]]] = {
    ("OperationRetry", "Running"): (RETRIES, ("do",)),
    ("UndoRetry", "Undoing"): (RETRIES, ("undo",)),
    ("OperationRetry", "Undoing"): (REPLANS, ()),
}
"""Which of an operation's own transitions (event, source) are counted by kind, and with which labels besides."""
