"""How fast planners decide on a large fleet: `python -m benchmarks.planning`.

For each scenario and planner a round decides the same demands twice, on two copies of one fleet: with the index of
hosts, and with a look at each host in turn, which is the floor. Every choice is counted before the next demand, as the
engine does; that is inside the rate. Both must choose the same hosts, or there are no figures. README.md says more.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence

from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.fleet import SCENARIOS, Fleet, Scenario
from benchmarks.result import Figure, figure
from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.implicit import ImplicitDedication
from interlock.planners.protocol import Demand, HostPlanner, NoPlan
from interlock.planners.rules import IMPLICIT

PLANNERS: dict[str, HostPlanner] = {
    "first-fit": FirstFit(),
    "dispersing": Dispersing(),
    "concentrating": Concentrating(),
    IMPLICIT: ImplicitDedication(),
}
SCAN = "the same by a scan"
SCANNED = 50
"""Of the decisions of a round, those that are made without the index too. Too low: a hiccup decides; too high: a scan
takes a hundred times as long, and one waits."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the target is met, if that was asked for."""
    begun = begin("planning", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("planning", __doc__)
    asked.add_argument("--hosts", type=int, default=10_000, help="of the fleet (10000)")
    asked.add_argument("--decisions", type=int, default=1_000, help="of a round (1000)")
    asked.add_argument("--apart", type=int, default=50, help="hosts with members of the anti-affinity group (50)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    read = asked.parse_args(arguments)
    if min(read.hosts, read.decisions, read.rounds) < 1 or read.apart < 0:
        asked.error("--hosts, --decisions and --rounds are at least 1, --apart is at least 0")
    return read


def _measured(options: Namespace) -> Measured:
    return Measured(
        figures=[_figure(options, scenario, name) for scenario in SCENARIOS for name in PLANNERS],
        settings={
            "decisions": options.decisions,
            "of which also by a scan": SCANNED,
            "hosts with members of the group": options.apart,
        },
    )


def _figure(options: Namespace, scenario: Scenario, planner: str) -> Figure:
    rounds = [_round(options, scenario, planner, number) for number in range(options.rounds)]
    name = f"{planner}, {scenario.name}, {options.hosts:,} hosts"
    return figure(name, "decisions/s", [rate for rate, _ in rounds], {SCAN: [scan for _, scan in rounds]})


def _round(options: Namespace, scenario: Scenario, name: str, seed: int) -> tuple[float, float]:
    """Decisions per second, with the index and without."""
    fleet, scanned = (Fleet(scenario, options.hosts, seed) for _ in range(2))
    demands = fleet.demands(options.decisions, options.apart, seed)
    scanned.scanned = True
    floor, looked_at = _decide(scanned, name, demands[:SCANNED])
    rate, chosen = _decide(fleet, name, demands)
    if chosen[: len(looked_at)] != looked_at:
        raise Wrong(f"{name} on a fleet {scenario.name}: index and scan chose other hosts")
    return rate, floor


def _decide(fleet: Fleet, name: str, demands: Sequence[Demand]) -> tuple[float, list[str]]:
    planner, chosen = PLANNERS[name], []
    began = time.perf_counter()
    for demand in demands:
        plan = planner.plan(demand, fleet)
        if isinstance(plan, NoPlan):
            raise Wrong(f"{name} found no host for {demand.vm_id}; the fleet is too small")
        fleet.choose(demand, plan, name)
        chosen.append(plan.host_id)
    return len(demands) / (time.perf_counter() - began), chosen


if __name__ == "__main__":
    sys.exit(main())
