"""What figures are held to, and whether they are: one table. Counts and ratios where that can be, for a bare rate says
more of the machine; the rates and times among them are the issues' own.

A target names a figure of a module; with `beside` it is the figure's ratio to that floor that is held.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from benchmarks.result import Figure, Judged


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure must be."""

    module: str
    figure: str
    beside: str = ""
    most: float | None = None
    least: float | None = None
    strict: bool = False
    """Whether the bound itself is too much."""

    @property
    def bound(self) -> str:
        """For people."""
        of = "ratio " if self.beside else ""
        if self.least is not None:
            return f"{of}at least {self.least:,g}"
        return f"{of}{'under' if self.strict else 'at most'} {self.most:,g}"

    def met(self, value: float) -> bool:
        """Whether a value is within it."""
        if self.least is not None and value < self.least:
            return False
        return self.most is None or (value < self.most if self.strict else value <= self.most)


_VERIFY, _DECODED = "verify, one process", "json.loads and sha256 of each line"
_ONE = "deploys of one engine, 64 in flight"
_LISTED = ("the first page", "a page in the middle", "of an account", "of a host", "counts of all")
TARGETS = (
    # issue 7, 1; the second is issue 2's
    Target(module="deploys", figure="deploys, 64 in flight", least=1_000),
    Target(module="deploys", figure="deploys, 64 in flight", beside="same statements, bare sqlite3 loop", least=0.2),
    Target(module="deploys", figure="deploys, 64 in flight", beside="rows alone, bare sqlite3 loop", least=0.35),
    Target(module="deploys", figure="commits per deploy, 64 in flight", most=0.1),
    Target(module="deploys", figure="SQL executions per deploy, 64 in flight", most=3),
    Target(module="deploys", figure="commits, one deploy alone", most=4),
    Target(module="deploys", figure="SQL executions, one deploy alone", most=25),
    # issue 7, 3
    *(
        Target(module="lists", figure=f"{what}, {vms:,} VMs", beside="with 1,000 VMs", most=1.2)
        for vms in (100_000, 1_000_000)
        for what in ("a deploy, alone", "a deploy, in flight", *_LISTED)
    ),
    # issue 4: verifying is near its floor, and memory does not grow with the journal
    Target(module="journal", figure=f"{_VERIFY}: processor time of a transition", beside=_DECODED, most=3),
    *(
        Target(module="journal", figure=f"{what}: peak memory", beside="a tenth as long", most=1.25)
        for what in ("read", _VERIFY, "verify, a process for each core", "verify packed, one process")
    ),
    # issue 6, 5
    Target(
        module="libvirt",
        figure="8 guests at once, through Interlock",
        beside="the same libvirt calls by hand",
        most=1.15,
    ),
    # issue 7, 2
    Target(module="workers", figure=_ONE, least=300),
    Target(module="workers", figure=_ONE, beside="same rows, bare asyncpg executemany loop", least=0.35),
    *(
        Target(
            module="workers",
            figure=f"deploys, {count} workers, effects of 50 ms",
            beside="so many times one worker",
            least=0.85,
        )
        for count in (2, 4, 8)
    ),
    # issue 7: who asks for metrics does not pay for them with throughput
    Target(module="telemetry", figure="a deploy, metrics", beside="watched by nobody", most=1.15),
    # issue 7, 5
    Target(module="soak", figure="resident memory, most after the warm-up", beside="after the warm-up", most=1.05),
    *(
        Target(module="soak", figure=f"{what}, change after the warm-up", most=0)
        for what in ("files", "threads", "tasks")
    ),
    # issue 7, the first half of 7
    Target(module="events", figure="events, oracle on, a process for each core, by the clock", least=10_000),
    # issue 7, 6 and the second half of 7
    Target(module="restart", figure="from the start of the process to the last end", most=15, strict=True),
    Target(module="startup", figure="interlock --help", most=0.2, strict=True),
    Target(module="startup", figure="import interlock", most=0.15, strict=True),
    Target(module="startup", figure="an engine is open, from the start of the process", most=0.7, strict=True),
    Target(module="startup", figure="resident memory with an open engine", most=70, strict=True),
    # issue 7, 4; that of all scenarios is issue 3's
    Target(module="planning", figure="first-fit, half empty, 100,000 hosts", least=20_000),
    Target(module="planning", figure="99 in 100: first-fit, half empty, 100,000 hosts", most=1, strict=True),
    *(
        Target(module="planning", figure=f"first-fit, {scenario}, 10,000 hosts", least=5_000)
        for scenario in ("half empty", "nearly full", "few tagged")
    ),
)


def judged(module: str, figures: Iterable[Figure], targets: Iterable[Target] = TARGETS) -> list[Judged]:
    """Hold the medians of a module's figures against its targets."""
    by_name = {figure.name: figure for figure in figures}
    return [_judge(target, by_name.get(target.figure)) for target in targets if target.module == module]


def _judge(target: Target, figure: Figure | None) -> Judged:
    value = _held(target, figure) if figure is not None else None
    return Judged(
        figure=target.figure,
        beside=target.beside,
        bound=target.bound,
        value=value,
        met=None if value is None else target.met(value),
    )


def _held(target: Target, figure: Figure) -> float | None:
    if not target.beside:
        return figure.value.median
    ratios = {each.what: each.ratio for each in figure.beside}
    ratio = ratios.get(target.beside)
    return None if ratio is None else ratio.median
