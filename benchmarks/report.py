"""The report: for people as a table, for programs as JSON.

On a terminal Rich draws the table if it is installed; in a pipe it is plain text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from benchmarks.figures import Figures, Round, Spread
from benchmarks.machine import Machine
from benchmarks.targets import Judged


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole benchmark; its JSON is this."""

    command: str
    date: str
    version: str
    machine: Machine
    database: str
    deploys: int
    in_flight: int
    lone_deploys: int
    hosts: int
    medians: dict[str, dict[str, Spread]]
    """part → figure → its spread over the rounds."""
    targets: list[Judged]
    rounds: list[Round]


Line = tuple[str, str, str]
"""What, the median, the least and the most."""

_CROWD = (
    ("deploys/s, engine with simulator", "rate", "{:,.0f}"),
    ("deploys/s, same statements, bare sqlite3 loop", "floor_rate", "{:,.0f}"),
    ("deploys/s, rows alone, bare sqlite3 loop", "rows_rate", "{:,.0f}"),
    ("engine / same statements", "ratio", "{:.2f}"),
    ("engine / rows alone", "rows_ratio", "{:.2f}"),
    ("commits per deploy", "commits", "{:.3f}"),
    ("SQL executions per deploy", "executions", "{:.3f}"),
    ("statements run per deploy, a row each", "statements", "{:.1f}"),
    ("latency ms, median", "latency_ms", "{:.1f}"),
    ("latency ms, 99 of 100 under", "slow_ms", "{:.1f}"),
)
_LONE = (
    ("latency ms, median", "latency_ms", "{:.1f}"),
    ("deploys/s, engine with simulator", "rate", "{:,.0f}"),
    ("deploys/s, same statements, bare sqlite3 loop", "floor_rate", "{:,.0f}"),
    ("deploys/s, rows alone, bare sqlite3 loop", "rows_rate", "{:,.0f}"),
    ("engine / same statements", "ratio", "{:.2f}"),
    ("commits", "commits", "{:g}"),
    ("SQL executions", "executions", "{:g}"),
    ("statements run, a row each", "statements", "{:g}"),
)
_FIRST = (
    ("latency ms", "latency_ms", "{:.1f}"),
    ("commits", "commits", "{:g}"),
    ("SQL executions", "executions", "{:g}"),
)
_PARTS: dict[str, Callable[[Round], Figures]] = {
    "crowd": lambda each: each.crowd,
    "lone": lambda each: each.lone,
    "first": lambda each: each.first,
}


def medians(rounds: Sequence[Round]) -> dict[str, dict[str, Spread]]:
    """Each figure of each part over the rounds; those that were not measured are not there."""
    return {name: _spreads([part(each) for each in rounds]) for name, part in _PARTS.items()}


def _spreads(measured: Sequence[Figures]) -> dict[str, Spread]:
    known = {name: [getattr(each, name) for each in measured] for name in Figures.__struct_fields__}
    return {name: Spread.of(values) for name, values in known.items() if None not in values}


def write(report: Report, file: Path) -> None:
    """As JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def show(report: Report) -> None:
    """Print it."""
    print("\n".join(report.machine.lines()))
    print(f"database {report.database}; {report.hosts} hosts; each VM one NIC and one root volume")
    print(
        f"rounds   {len(report.rounds)}, engine and floors in turn; simulator at latency 0,"
        " its work inside the engine's rate"
    )
    crowd = f"{report.deploys} deploys, {report.in_flight} in flight"
    for title, part, wanted in (
        (crowd, "crowd", _CROWD),
        (f"one deploy alone ({report.lone_deploys} after one another)", "lone", _LONE),
        ("the first deploy after opening", "first", _FIRST),
    ):
        _table(title, _lines(report.medians[part], wanted))
    print()
    print("\n".join(each.line for each in report.targets))


def _lines(spreads: dict[str, Spread], wanted: Sequence[tuple[str, str, str]]) -> list[Line]:
    return [
        (
            what,
            form.format(spreads[name].median),
            f"{form.format(spreads[name].least)} – {form.format(spreads[name].most)}",
        )
        for what, name, form in wanted
        if name in spreads
    ]


def _table(title: str, lines: Sequence[Line]) -> None:
    print()
    if sys.stdout.isatty() and find_spec("rich"):
        _rich(title, lines)
        return
    print(f"{title:<48}{'median':>12}{'min – max':>20}")
    for what, median, range_ in lines:
        print(f"  {what:<46}{median:>12}{range_:>20}")


def _rich(title: str, lines: Sequence[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title, title_justify="left")
    table.add_column("median", justify="right")
    table.add_column("min – max", justify="right")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
