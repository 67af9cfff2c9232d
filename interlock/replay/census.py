"""The fleet over time: how many VMs are in each state, how full each host is, how many operations failed. One pass.

Promises: memory does not grow with the journal: time is cut into at most `BUCKETS` pieces, and where they do not reach
any more, two become one. What is remembered of a piece is the states at its end, the most that a host held in it, and
how many operations failed in it. Movements of the ledger are summed as the rows have them (schema/holdings.py).
Races considered: several workers' clocks differ; a row that is earlier than the one before it counts with that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from interlock.schema.holdings import FREE
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.transition import Transition

BUCKETS = 240
"""Too few: pictures are coarse; too many: they are large, and no screen shows them. Even."""
FINEST = 1_000
"""µs of a piece at first."""
ALL = ""
"""The key of what all hosts hold together."""
MEMORY = "memory"
FAILURES = ("OperationFailed", "OperationStuck")
GONE = frozenset(MACHINES["vm"].names(Stability.TERMINAL))


@dataclass
class Bucket:
    """A piece of time. `most` and `last`: MiB by host, only those that something moved on."""

    states: dict[str, int] | None = None
    """VMs by state at its end; None: as in the one before."""
    failed: int = 0
    most: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def followed_by(self, other: Bucket) -> Bucket:
        """The two as one."""
        most = dict(self.most)
        for host, held in other.most.items():
            most[host] = max(held, most.get(host, 0))
        states = self.states if other.states is None else other.states
        return Bucket(states, self.failed + other.failed, most, {**self.last, **other.last})


class Census:
    """What was counted in the rows that were added."""

    def __init__(self) -> None:
        self.begin: int | None = None
        """The time of the first row, µs."""
        self.end = 0
        self.rows = 0
        self._width = FINEST
        self._buckets: list[Bucket] = [Bucket()]
        self._states: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    def add(self, row: Transition) -> None:
        """Take one more row, in the journal's order."""
        if self.begin is None:
            self.begin = self.end = row.at
        self.rows += 1
        self.end = max(self.end, row.at)
        if row.machine == "vm":
            bucket = self._bucket()
            self._count(row, bucket)
            if MEMORY in row.ledger:
                self._moved(row, bucket)
        elif row.machine == "operation" and row.event in FAILURES:
            self._bucket().failed += 1

    def _bucket(self) -> Bucket:
        """The present one."""
        assert self.begin is not None
        number = (self.end - self.begin) // self._width
        while number >= BUCKETS:
            self._halve()
            number = (self.end - self.begin) // self._width
        while len(self._buckets) <= number:
            self._buckets.append(Bucket())
        return self._buckets[number]

    def _halve(self) -> None:
        self._width *= 2
        if len(self._buckets) % 2:
            self._buckets.append(Bucket())
        pairs = zip(self._buckets[::2], self._buckets[1::2], strict=True)
        self._buckets = [before.followed_by(after) for before, after in pairs]

    def _count(self, row: Transition, bucket: Bucket) -> None:
        self._states[row.destination] += 1
        if row.source:
            self._states[row.source] -= 1
        if row.source != row.destination:
            bucket.states = dict(self._states)

    def _moved(self, row: Transition, bucket: Bucket) -> None:
        for moved in row.movements:
            if moved.thing != MEMORY:
                continue
            for host in (moved.where, ALL):
                before = self._held[host]
                self._held[host] += moved.amount if moved.giver == FREE else -moved.amount
                bucket.most[host] = max(bucket.most.get(host, before), before, self._held[host])
                bucket.last[host] = self._held[host]

    def picture(self, title: str, capacity: Mapping[str, int]) -> Picture:
        """What was counted, as it is drawn.

        Args:
            title: whose fleet it is.
            capacity: MiB of memory that each host has; of others it is not known how full they are.
        """
        begin = self.begin or 0
        if self.rows:
            self._bucket()  # to the last row, whatever that was about
        buckets = self._buckets
        return Picture(
            title=title,
            begin=begin,
            width=self._width,
            end=max(self.end, begin + 1),
            rows=self.rows,
            states=_filled([each.states for each in buckets]),
            failed=tuple(each.failed for each in buckets),
            hosts={host: _fill(buckets, host, total) for host, total in sorted(capacity.items()) if total > 0},
            all_hosts=_fill(buckets, ALL, sum(capacity.values())),
        )


@dataclass(frozen=True)
class Picture:
    """A fleet over time: `states[n]`, `failed[n]` and `hosts[id][n]` are of the time from `begin + n * width`, µs."""

    title: str
    begin: int
    end: int
    width: int
    rows: int
    states: tuple[Mapping[str, int], ...]
    """VMs by state, without those that are gone for good."""
    failed: tuple[int, ...]
    hosts: Mapping[str, tuple[float, ...]]
    """The most of its memory that was held, as a share."""
    all_hosts: tuple[float, ...]

    @property
    def names(self) -> list[str]:
        """The states that are met, in the machine's order."""
        met = {state for each in self.states for state, count in each.items() if count}
        known = list(MACHINES["vm"].states)
        return sorted(met, key=lambda state: (known.index(state) if state in known else len(known), state))

    @property
    def most_vms(self) -> int:
        """The most at any time."""
        return max((sum(each.values()) for each in self.states), default=0)


def _filled(counted: Iterable[Mapping[str, int] | None]) -> tuple[Mapping[str, int], ...]:
    """Each with what it does not say taken from the one before."""
    filled: list[Mapping[str, int]] = []
    for each in counted:
        living = {} if each is None else {state: count for state, count in each.items() if state not in GONE and count}
        filled.append(filled[-1] if each is None and filled else living)
    return tuple(filled)


def _fill(buckets: Iterable[Bucket], host: str, total: int) -> tuple[float, ...]:
    shares, held = [], 0
    for bucket in buckets:
        shares.append(bucket.most.get(host, held) / total if total > 0 else 0.0)
        held = bucket.last.get(host, held)
    return tuple(shares)


def census(rows: Iterable[Transition]) -> Census:
    """The census of rows that are at hand."""
    counted = Census()
    for row in rows:
        counted.add(row)
    return counted
