"""How fast planners decide on a large fleet: `python -m benchmarks.planning`.

For each size, scenario and planner a round decides the same demands twice on one fleet: with the index of hosts, and
with a look at each host in turn, which is the floor. Every choice is counted before the next demand, as the engine
does; that is inside the rate. Both must choose the same hosts, or there are no figures. Times are of the processor.
Some three minutes. README.md says more.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from time import process_time_ns
from typing import NamedTuple

import msgspec

from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.fleet import KEPT, SCENARIOS, TAG, Fleet
from benchmarks.peers import Peer, peers
from benchmarks.result import Curve, Figure, figure, line
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
HALF_EMPTY = SCENARIOS[0]
SCAN = "the same by a scan"
RATE, MS = "1/CPU s", "CPU ms"
SCANNED = 500_000
"""Hosts of a scenario's scans in a round, as far as a scan looks at all. Too low: a hiccup decides; too high: a scan
takes a thousand times as long, and one waits."""
REFUSED = 200
"""Demands of a round that no host fits, and as many of a size of their own."""


class Timed(NamedTuple):
    """Decisions one after the other."""

    rate: float
    """Per second."""
    middle_ms: float
    """The median of one."""
    slow_ms: float
    """The slowest but one in a hundred."""
    chosen: list[str]


class Round(NamedTuple):
    """Of one size, scenario and planner."""

    timed: Timed
    scan: float
    """Decisions per second without the index."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; the exit code says whether the target is met, if that was asked for."""
    begun = begin("planning", arguments)
    options = _read(begun.arguments)
    return ended(begun, options, lambda: _measured(options))


def _read(arguments: Sequence[str]) -> Namespace:
    asked = parser("planning", __doc__)
    asked.add_argument(
        "--hosts", type=int, nargs="+", default=[10_000, 100_000], help="of the fleets (10000 and 100000)"
    )
    asked.add_argument("--decisions", type=int, default=2_000, help="of a round (2000)")
    asked.add_argument("--apart", type=int, default=50, help="hosts with members of the anti-affinity group (50)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    read = asked.parse_args(arguments)
    if min(*read.hosts, read.decisions, read.rounds) < 1 or read.apart < 0:
        asked.error("--hosts, --decisions and --rounds are at least 1, --apart is at least 0")
    return read


def _measured(options: Namespace) -> Measured:
    figures: list[Figure] = []
    lines: dict[str, dict[float, list[float]]] = {}
    for hosts in options.hosts:
        for scenario in SCENARIOS:
            fleet = Fleet(scenario, hosts, 0)
            for planner in PLANNERS:
                rounds = [_round(options, fleet, planner, number) for number in range(options.rounds)]
                figures += _figures(f"{planner}, {scenario.name}, {hosts:,} hosts", rounds)
                if scenario is HALF_EMPTY:
                    lines.setdefault(planner, {})[hosts] = [each.timed.rate for each in rounds]
                    lines.setdefault(f"{planner}, by a scan", {})[hosts] = [each.scan for each in rounds]
            if scenario is HALF_EMPTY:
                figures += _others(options, fleet, hosts)
    return Measured(figures=figures, curves=_curves(lines), settings=_settings(options))


def _settings(options: Namespace) -> dict[str, str | int | float]:
    return {"decisions": options.decisions, "hosts with members of the group": options.apart}


def _curves(lines: dict[str, dict[float, list[float]]]) -> list[Curve]:
    drawn = [line(name, points, "floor" if "scan" in name else "measured") for name, points in lines.items()]
    title = "Decisions per second of the processor, half empty"
    return [Curve(name="hosts", title=title, x="hosts", y="decisions/CPU s", lines=drawn, log_x=True, log_y=True)]


def _figures(name: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    yield figure(name, RATE, [each.timed.rate for each in rounds], {SCAN: [each.scan for each in rounds]})
    yield figure(f"one in two: {name}", MS, [each.timed.middle_ms for each in rounds])
    yield figure(f"99 in 100: {name}", MS, [each.timed.slow_ms for each in rounds])


def _round(options: Namespace, fleet: Fleet, name: str, seed: int) -> Round:
    """With the index and without."""
    demands = fleet.demands(options.decisions, options.apart, seed)
    fleet.scanned = True
    scan = _decide(fleet, name, demands[: max(5, SCANNED // len(fleet))])
    fleet.scanned = False
    timed = _decide(fleet, name, demands)
    if timed.chosen[: len(scan.chosen)] != scan.chosen:
        raise Wrong(f"{name} on a fleet {fleet.scenario.name}: index and scan chose other hosts")
    return Round(timed, scan.rate)


def _decide(fleet: Fleet, name: str, demands: Sequence[Demand]) -> Timed:
    planner, chosen = PLANNERS[name], list[str]()

    def decide(demand: Demand) -> None:
        plan = planner.plan(demand, fleet)
        if isinstance(plan, NoPlan):
            raise Wrong(f"{name} found no host for {demand.vm_id}; the fleet is too small")
        fleet.choose(demand, plan, name)
        chosen.append(plan.host_id)

    timed = _timed(decide, demands)
    fleet.give_back()
    return timed._replace(chosen=chosen)


def _timed(decide: Callable[[Demand], object], demands: Sequence[Demand]) -> Timed:
    moments = [process_time_ns()]
    for demand in demands:
        decide(demand)
        moments.append(process_time_ns())
    took = sorted(after - before for before, after in pairwise(moments))
    middle, slow = took[len(took) // 2] / 1e6, took[len(took) * 99 // 100] / 1e6
    return Timed(len(took) * 1e9 / max(1, moments[-1] - moments[0]), middle, slow, [])


# What a scan is not beside


def _others(options: Namespace, fleet: Fleet, hosts: int) -> Iterator[Figure]:
    demands = [fleet.demands(options.decisions, options.apart, seed) for seed in range(options.rounds)]
    for what, peer in peers(fleet.hosts(""), TAG).items():
        yield figure(f"{what}, {hosts:,} hosts", RATE, [_alone(peer, each) for each in demands])
    own = [_decide(fleet, "first-fit", list(map(_of_its_own, each[:REFUSED]))) for each in demands]
    yield figure(f"each VM of a size of its own, first-fit, {hosts:,} hosts", MS, [each.middle_ms for each in own])
    none = [_timed(lambda demand: _refuse(fleet, demand), each[:REFUSED]) for each in demands]
    yield figure(f"no host fits, first-fit, {hosts:,} hosts", MS, [each.middle_ms for each in none])


def _alone(peer: Peer, demands: Sequence[Demand]) -> float:
    """Decisions per second; as in a fleet, each is counted, and given back when as many later ones were made."""
    kept: deque[tuple[str, Demand]] = deque()

    def decide(demand: Demand) -> None:
        host_id = peer.choose(demand)
        if host_id is None:
            raise Wrong(f"no host for {demand.vm_id}; the fleet is too small")
        peer.count(host_id, demand, 1)
        kept.append((host_id, demand))
        if len(kept) > KEPT:
            peer.count(*kept.popleft(), -1)

    timed = _timed(decide, demands)
    for chosen in kept:
        peer.count(*chosen, -1)
    return timed.rate


def _of_its_own(demand: Demand) -> Demand:
    """As custom offerings make them: nothing that was kept for others is of use."""
    number = int(demand.vm_id.removeprefix("vm"))
    return msgspec.structs.replace(demand, cpu_mhz=demand.cpu_mhz + number, memory_mib=demand.memory_mib + number)


def _refuse(fleet: Fleet, demand: Demand) -> None:
    wanted = msgspec.structs.replace(demand, memory_mib=2**40)
    if not isinstance(PLANNERS["first-fit"].plan(wanted, fleet), NoPlan):
        raise Wrong(f"there is a host with room for {wanted.memory_mib} MiB")


if __name__ == "__main__":
    sys.exit(main())
