"""Makes a story shorter and plainer, for as long as it still ends in the same way.

Whole things first, by delta debugging: events, then places. Then one thing at a time: what is said beyond need in
requests, in places, of the rules; answers that are Done anyway; times, and the numbers of what is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from interlock.replay.ddmin import ddmin
from interlock.replay.story import DONE, Story

TRIES = 1500
"""Plays that leaving out may take, for events and for places. Too few: a long test; too many: one waits."""
SECOND = 1_000_000
SPARED = ("actor", "caller_id", "worker_id")
"""What a step may leave unsaid."""
_SMALL = re.compile(r"\b(vm|nic|disk|op|worker|person)-(\d+)\b")

Fails = Callable[[Story], bool]
replace = msgspec.structs.replace


def shortest(story: Story, fails: Fails) -> Story:
    """The shortest story that fails, as far as leaving out goes.

    Args:
        story: one that fails.
        fails: whether a story fails in the same way.
    """
    before = None
    while before != (before := (len(story.steps), len(story.places))):
        # Fewer hosts take fewer VMs to be full.
        story = replace(story, steps=ddmin(story.steps, partial(_steps, story, fails), TRIES))
        story = replace(story, places=ddmin(story.places, partial(_places, story, fails), TRIES))
    for plainer in (_without_rules, _without_fields, _without_columns, _without_done, _evenly):
        for change in list(plainer(story)):
            if fails(current := change(story)):
                story = current
    return story


def renumbered(story: Story) -> Callable[[Any], Any]:
    """Gives what is left of the ids of a scrubbed story the lowest numbers, in the same order."""
    said = msgspec.json.encode([list(story.steps), list(story.places)]).decode()
    found: dict[str, dict[int, str]] = {}
    for prefix, number in _SMALL.findall(said):
        found.setdefault(prefix, {})[int(number)] = number
    small = {
        f"{prefix}-{words}": f"{prefix}-{place:0{len(str(len(numbers)))}}"
        for prefix, numbers in found.items()
        for place, (_, words) in enumerate(sorted(numbers.items()), 1)
    }
    return lambda value: _mapped(value, lambda words: _SMALL.sub(lambda hit: small.get(hit[0], hit[0]), words))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(each, change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, change) for each in value)
    return change(value) if isinstance(value, str) else value


def _places(story: Story, fails: Fails, places: list[Any]) -> list[Any] | None:
    return places if fails(replace(story, places=places)) else None


def _steps(story: Story, fails: Fails, steps: list[Any]) -> list[Any] | None:
    """The steps that had a part in it."""
    shorter = replace(story, steps=steps)
    if not fails(shorter):
        return None
    passed_over = shorter.play().passed_over
    return [step for number, step in enumerate(steps) if number not in passed_over]


# --- one thing at a time: each yields what may be done to the story, whatever else has been done to it by then

Plainer = Callable[[Story], Story]


def _without_rules(story: Story) -> Iterator[Plainer]:
    yield lambda now: replace(now, policy={})
    yield lambda now: replace(now, capabilities={})


def _without_fields(story: Story) -> Iterator[Plainer]:
    for number, step in enumerate(story.steps):
        for name in step.get("request", {}):
            yield partial(_asked_less, number=number, name=name)
        for name in SPARED:
            if name in step and step["event"] == "Requested":
                yield partial(_step, number=number, without=name)


def _without_columns(story: Story) -> Iterator[Plainer]:
    for number, (_, columns) in enumerate(story.places):
        for name in columns:
            yield partial(_place, number=number, without=name)


def _without_done(story: Story) -> Iterator[Plainer]:
    for number, step in enumerate(story.steps):
        outcomes = list(step.get("outcomes", ()))
        if "outcomes" not in step:
            continue
        while outcomes and outcomes[-1] == DONE:
            outcomes.pop()
        if outcomes:
            yield partial(_step, number=number, outcomes=outcomes)
        else:
            yield partial(_step, number=number, without="outcomes")


def _evenly(story: Story) -> Iterator[Plainer]:
    yield lambda now: replace(now, steps=[{**step, "at": number * SECOND} for number, step in enumerate(now.steps)])


def _asked_less(story: Story, number: int, name: str) -> Story:
    return _step(story, number, request=_less(story.steps[number]["request"], name))


def _step(story: Story, number: int, without: str = "", **said: Any) -> Story:
    steps = [*story.steps]
    steps[number] = _less({**steps[number], **said}, without)
    return replace(story, steps=steps)


def _place(story: Story, number: int, without: str) -> Story:
    places = [*story.places]
    table, columns = places[number]
    places[number] = table, _less(columns, without)
    return replace(story, places=places)


def _less(fields: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}
