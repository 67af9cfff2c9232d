"""Predicates over a fleet: the few words in which `bisect` is told what should hold, or a function of one's own.

A predicate is conditions joined by `and`; each is what to look at, an operator, and a value:

| looks at | |
| --- | --- |
| `vm NAME [COLUMN]`, `volume NAME [COLUMN]` | its state, or a column of its table |
| `nic ID [COLUMN]`, `operation ID [COLUMN]` | the same |
| `host NAME cpu`, `host NAME memory`, `pool NAME space` | what is held of it; with a value in `%`, how full it is |
| `account NAME THING`, `domain NAME THING` | vms, cores, ram, volumes, storage or ips; in `%` of its limit |
| `every host cpu`, `every pool space`, … | of each of them |
| `sum host cpu`, `sum pool space`, … | of all of them together |
| `count MACHINE [STATE]` | how many there are, in that state or in any |

Operators are `is`, `is not`, `in` (one of several, with commas), `=`, `!=`, `<`, `<=`, `>`, `>=`. Names with blanks
stand in quotes. A value of `none` is what is not set. What is not there is none, and neither less nor more than
anything.

Promises: nothing is executed; a word that cannot be meant (a column, a state, a thing that no table has) is refused
before anything is played. Whether a *name* is there is asked of the fleet, at every moment anew.
"""

from __future__ import annotations

import operator
import shlex
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import msgspec

from interlock.replay.fleet import Fleet
from interlock.replay.usage import MEASURES, share, total, used
from interlock.schema.errors import InvalidRequest
from interlock.schema.holdings import Metered
from interlock.schema.machines import MACHINES
from interlock.schema.records import RECORDS


class Found(msgspec.Struct, frozen=True):
    """What a predicate found of a fleet: whether it holds, and what it saw, in words."""

    holds: bool
    said: str


Predicate = Callable[[Fleet], Found]
Value = str | int | float | bool | None
Look = Callable[[Fleet], list[tuple[str, Any]]]
"""What is looked at: values, each with the words for it; all of them must be as wanted."""

KINDS = {"host": "host", "pool": "storage_pool", "account": "account", "domain": "domain"}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "is": operator.eq,
    "is not": operator.ne,
    "in": lambda value, wanted: value in wanted,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
ORDERING = ("<=", "<", ">=", ">")
NONE = "none"
EXAMPLE = "like: vm web is Running, every host cpu <= 90%, count operation Stuck = 0"


def parsed(text: str) -> Predicate:
    """The predicate that a text says.

    Raises:
        InvalidRequest: it says none, or names what no table has.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars="<>=!")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise InvalidRequest(f"predicate {text!r}: {error}") from error
    conditions = [_condition(part) for part in _split(words)]
    return lambda fleet: _all(conditions, fleet)


def called(name: str) -> Predicate:
    """The predicate that a function is, which is given the fleet: it holds if what comes back is true.

    Args:
        name: MODULE:FUNCTION, which is imported.

    Raises:
        InvalidRequest: there is no such function; or, while it is asked, it raises.
    """
    module, _, attribute = name.partition(":")
    try:
        function: Callable[[Fleet], object] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequest(f"{name}: {error}; give MODULE:FUNCTION that can be imported from here") from error

    def ask(fleet: Fleet) -> Found:
        try:
            answer = function(fleet)
        except Exception as error:
            raise InvalidRequest(f"{name} raised {error!r} after transition {fleet.seq}") from error
        return Found(bool(answer), f"{name} gave {answer!r}")

    return ask


def _split(words: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "and":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _all(conditions: Sequence[Predicate], fleet: Fleet) -> Found:
    found = [condition(fleet) for condition in conditions]
    failed = [each for each in found if not each.holds]
    return Found(not failed, "; ".join(each.said for each in failed or found))


def _condition(words: list[str]) -> Predicate:
    at = next((number for number, word in enumerate(words) if word in OPERATORS), None)
    if at is None:
        raise InvalidRequest(f"{' '.join(words)!r} is no condition; say it {EXAMPLE}")
    sign, rest = words[at], words[at + 1 :]
    if sign == "is" and rest[:1] == ["not"]:
        sign, rest = "is not", rest[1:]
    if len(rest) != 1:
        raise InvalidRequest(f"{' '.join(words)!r}: one value must follow {sign!r}; say it {EXAMPLE}")
    subject, look = _look(words[:at], rest[0].endswith("%"))
    wanted = _wanted(subject, sign, rest[0])
    return lambda fleet: _asked(look(fleet), sign, wanted)


def _asked(values: list[tuple[str, Any]], sign: str, wanted: Any) -> Found:
    """The values that fail are told of; if none does, the one that is nearest to it."""
    failing = [each for each in values if not _is(each[1], sign, wanted)]
    told = failing or values
    known = [each for each in told if each[1] is not None]
    if sign in ORDERING and known:
        told = [(max if sign.startswith("<") else min)(known, key=lambda each: each[1])]
    words, value = told[0] if told else ("nothing", None)
    return Found(not failing, f"{words} is {_shown(value)}")


def _is(value: Any, sign: str, wanted: Any) -> bool:
    if sign in ORDERING and (value is None or isinstance(value, str)):
        return False
    return OPERATORS[sign](value, wanted)


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:.1f}%" if isinstance(value, float) else str(value)


# --- what is looked at


def _look(words: list[str], percent: bool) -> tuple[str | None, Look]:
    """What to look at, and of what machine it is a state; None if it is none."""
    match words:
        case ["count", machine, *state] if machine in RECORDS and len(state) <= 1:
            return None, _counted(machine, _state(machine, state[0]) if state else None)
        case ["every" | "sum" as how, kind, thing] if kind in KINDS:
            return None, _until_filled((_every if how == "every" else _sum)(kind, _rule(kind, thing), percent))
        case [kind, name, thing] if kind in KINDS:
            return None, _held(kind, name, _rule(kind, thing), percent)
        case [machine, name, *column] if machine in RECORDS and len(column) <= 1:
            known = _column(machine, column[0] if column else "state")
            return machine if known == "state" else None, _attribute(machine, name, known)
    raise InvalidRequest(f"{' '.join(words) or 'nothing'!r} is nothing to look at; say it {EXAMPLE}")


def _until_filled(look: Look) -> Look:
    """Looks at all places again only when what is held of them has changed, which few transitions do."""
    seen: tuple[Fleet, int, list[tuple[str, Any]]] | None = None

    def kept(fleet: Fleet) -> list[tuple[str, Any]]:
        nonlocal seen
        if seen is None or seen[0] is not fleet or seen[1] != fleet.fills:
            seen = fleet, fleet.fills, look(fleet)
        return seen[2]

    return kept


def _rule(kind: str, thing: str) -> Metered:
    rules = MEASURES[KINDS[kind]]
    if thing not in rules:
        raise InvalidRequest(f"there is no {thing!r} of a {kind}; there is {', '.join(rules)}")
    return rules[thing]


def _column(machine: str, column: str) -> str:
    fields = RECORDS[machine].__struct_fields__
    if column not in fields:
        raise InvalidRequest(f"a {machine} has no {column!r}; it has {', '.join(fields)}")
    return column


def _state(machine: str, given: str) -> str:
    """A state as it is spelt, whatever the case."""
    states = {name.lower(): name for name in MACHINES[machine].states}
    if given.lower() not in (*states, NONE):
        raise InvalidRequest(f"a {machine} has no state {given!r}; its states are: {', '.join(states.values())}")
    return states.get(given.lower(), NONE)


def _counted(machine: str, state: str | None) -> Look:
    words = f"count {machine} {state or ''}".strip()
    return lambda fleet: [
        (words, fleet.counts[machine][state] if state else sum(fleet.counts[machine].values())),
    ]


def _held(kind: str, name: str, rule: Metered, percent: bool) -> Look:
    return lambda fleet: [(f"{kind} {name} {rule.thing}", _figure(rule, fleet.place(KINDS[kind], name), percent))]


def _every(kind: str, rule: Metered, percent: bool) -> Look:
    return lambda fleet: [
        (f"{kind} {place.id} {rule.thing}", _figure(rule, place, percent)) for place in fleet.places(KINDS[kind])
    ]


def _sum(kind: str, rule: Metered, percent: bool) -> Look:
    def look(fleet: Fleet) -> list[tuple[str, Any]]:
        places = fleet.places(KINDS[kind])
        held: float = sum(used(rule, place) for place in places)
        if percent:
            most = sum(total(rule, place) or 0 for place in places)
            held = 100 * held / most if most else 0.0
        return [(f"sum {kind} {rule.thing}", held)]

    return look


def _figure(rule: Metered, place: Any, percent: bool) -> float | None:
    """What is held of a place, or how full it is: where any amount may be held, not at all."""
    if place is None:
        return None
    return 100 * (share(rule, place) or 0.0) if percent else used(rule, place)


def _attribute(machine: str, name: str, column: str) -> Look:
    words = f"{machine} {name}" + (f" {column}" if column != "state" else "")
    return lambda fleet: [(words, _text(getattr(_entity(fleet, machine, name), column, None)))]


def _entity(fleet: Fleet, machine: str, name: str) -> Any:
    if machine == "vm":
        return fleet.find(name)
    found = fleet.record(machine, name)
    if found is None and machine == "volume":
        named = [each for each in fleet.records("volume").values() if each.name == name]
        return next(iter(sorted(named, key=lambda each: (each.state == "Expunged", each.id))), None)
    return found


def _text(value: Any) -> Value:
    """A column as one writes it: numbers, flags and words as they are, everything else as JSON."""
    return value if value is None or isinstance(value, str | int | float) else msgspec.json.encode(value).decode()


# --- what is wanted


def _wanted(machine: str | None, sign: str, word: str) -> Any:
    """The value, or with `in` the values, as what is looked at has them."""
    if sign == "in":
        return {_value(machine, each) for each in word.split(",") if each}
    value = _value(machine, word)
    if sign in ORDERING and isinstance(value, str | None):
        raise InvalidRequest(f"{sign} wants a number, not {word!r}")
    return value


def _value(machine: str | None, word: str) -> Value:
    if machine is not None:
        state = _state(machine, word)
        return None if state == NONE else state
    if word in (NONE, "true", "false"):
        return {NONE: None, "true": True, "false": False}[word]
    try:
        return float(word.removesuffix("%")) if not word.isdecimal() else int(word)
    except ValueError:
        return word
