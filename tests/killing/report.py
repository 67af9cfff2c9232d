"""The table of many rounds, and whether they were what they should be: spread over all that a process does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.killing.process import Death
from tests.killing.rounds import Result

ENOUGH = 50
"""Rounds from which on the kills must be spread. Too low: chance fails it."""
EVERYWHERE = ("opening", "asking", "working", "recovering", "closing")
"""Where some process must have died."""
IN_THE_AIR = ("commit", "effects", "commit + effects", "nothing")


def lines(results: Sequence[Result], database: str) -> Iterator[str]:
    """The table."""
    deaths = [death for each in results for death in each.deaths]
    yield f"crash rounds on {database}"
    yield f"  rounds               {_counted(each.kind for each in results)}"
    yield f"  failed               {sum(bool(each.wrongs) for each in results)}"
    yield f"  seconds a round      {sum(each.seconds for each in results) / len(results):.2f}"
    yield f"  requests accepted    {sum(each.accepted for each in results)}"
    yield f"  operations           {_summed(each.operations for each in results)}"
    yield f"  taken over           {sum(each.taken_over for each in results)}"
    yield f"  refused by fence     {sum(each.fenced for each in results)}"
    yield f"  faults that fired    {sum(each.fired for each in results)}"
    yield f"  stuck, resolved      {sum(each.stuck for each in results)}"
    yield f"  kills by stage       {_counted(each.stage for each in deaths)}"
    yield f"  kills with           {_counted(each.in_the_air for each in deaths)} in the air"
    yield f"  in flight            {_spread([each for each in deaths if each.stage == 'working'])}, when killed working"
    if pauses := [death for each in results for death in each.pauses]:
        yield f"  pauses by stage      {_counted(each.stage for each in pauses)}"
        yield f"  pauses with          {_counted(each.in_the_air for each in pauses)} in the air"
        yield f"  in flight            {_spread(pauses)}, when paused"
    yield f"  in the end           {_summed(each.states for each in results)}"


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common()) or "none"


def _summed(counters: Iterable[Counter[str]]) -> str:
    total: Counter[str] = Counter()
    for each in counters:
        total.update(each)
    return ", ".join(f"{count} {name}" for name, count in total.most_common())


def _spread(deaths: Sequence[Death]) -> str:
    numbers = sorted(death.in_flight for death in deaths)
    if not numbers:
        return "none"
    return f"{numbers[0]} to {numbers[-1]}, median {numbers[len(numbers) // 2]}"


def unspread(results: Sequence[Result]) -> list[str]:
    """Where nobody died though there were enough rounds: then the others prove less than they seem to."""
    alone = [each for each in results if each.kind == "alone"]
    if len(alone) < ENOUGH:
        return []
    deaths = [death for each in alone for death in each.deaths]
    stages, air = {death.stage for death in deaths}, {death.in_the_air for death in deaths}
    return [f"no process died {name}" for name in EVERYWHERE if name not in stages] + [
        f"no process died with {name} in the air" for name in IN_THE_AIR if name not in air
    ]
