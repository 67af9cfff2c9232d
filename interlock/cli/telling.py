"""The answer of `why` in lines: a short one that stands on one screen, and a full one that leaves nothing out.

Promises: the short one has at most `HEIGHT` lines, none wider than the terminal, unless what must be said needs more;
what was left out is counted, and what went wrong is left out last. The full one names every transition by its number,
`#7`, once. Pure: the time is given.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from msgspec.structs import fields

from interlock.cli import layout
from interlock.cli.layout import BAD, DIM, HEAD, PLAIN, Line
from interlock.cli.times import age, duration, iso
from interlock.replay.chapters import Call, Chapter, Choice, Item, Turn
from interlock.replay.why import Answer
from interlock.schema.requests import KINDS
from interlock.schema.transition import Transition

HEIGHT = 22
"""Lines of a short answer: a terminal's 24 without the command and the next prompt."""
REFUSED = 3
"""Candidates told of each placement in a short answer. Too many: nothing else is left on the screen."""
MOVES = 8
"""Transitions told of each operation that has no rows of its own."""
TIMES = 20
"""Characters before what is told: the time since the operation was asked for, and how long it took."""
ALWAYS, GRAVE, WANTED, USUAL, LESSER, GOOD, LAST = range(7)
"""How dear a line is to the short answer; the last go first."""
WAYS = {
    "retry": "do again what it was doing",
    "undo": "go on undoing it",
    "accept": "vouch that the world is as the undo would leave it",
}


@dataclass(frozen=True)
class Told:
    """A line of the answer. `seq`: of the row it is about; of equally dear lines those with the lowest go first."""

    line: Line
    weight: int = ALWAYS
    seq: int = 0


def short(answer: Answer, now: int, width: int | None) -> list[Line]:
    """The answer on one screen.

    Args:
        now: µs since 1970; ages are counted from then.
        width: of the terminal; None: lines are not folded.
    """
    told = [*_head(answer, now)]
    for number, chapter in reversed(list(enumerate(answer.chapters))):
        told += [Told([], LAST)] if _in_full(answer, number) else []
        told += list(_chapter(chapter)) if _in_full(answer, number) else [_one_line(chapter)]
    folded = [_folded(replace(each, line=layout.printable(each.line)), width) for each in told]
    return _fitted(folded, f"`interlock why {answer.name} --full`")


def _in_full(answer: Answer, number: int) -> bool:
    """What brought it here, and what has not gone well since."""
    chapter = answer.chapters[number]
    return number == answer.decisive or (number > answer.decisive and not (chapter.is_over and chapter.is_fine))


def _fitted(told: Sequence[tuple[Told, list[Line]]], all_of_it: str) -> list[Line]:
    kept = list(range(len(told)))
    lines = sum(len(each) for _, each in told)
    left_out = 0
    order = sorted(kept, key=lambda number: (-told[number][0].weight, told[number][0].seq, -number))
    for number in order:
        if lines + (left_out > 0) <= HEIGHT or told[number][0].weight == ALWAYS:
            break
        kept.remove(number)
        lines -= len(told[number][1])
        left_out += bool(told[number][0].line)
    fitted = [line for number in kept for line in told[number][1]]
    if left_out:
        fitted.append([(f"{left_out} lines are left out: {all_of_it}", DIM)])
    return fitted


def _folded(told: Told, width: int | None) -> tuple[Told, list[Line]]:
    """A line that matters goes on in further ones, others are cut."""
    length = sum(len(words) for words, _ in told.line)
    if width is None or length <= width:
        return told, [told.line]
    before, (words, style) = told.line[:-1], told.line[-1]
    indent = sum(len(each) for each, _ in before)
    room = max(width - indent, layout.FOLDED_LEAST)
    if told.weight > GRAVE:
        return told, [[*before, (words[: room - 1] + "…", style)]]
    first, *others = textwrap.wrap(words, room, break_on_hyphens=False)
    return told, [[*before, (first, style)], *([(" " * indent, PLAIN), (each, style)] for each in others)]


# The head


def _head(answer: Answer, now: int) -> Iterator[Told]:
    held = f"  on {answer.host}" if answer.host else ""
    about = "" if answer.machine == "vm" else f"{answer.machine} "
    yield Told([(f"{about}{answer.name} ", HEAD), layout.state(answer.state), (f"{held}  {answer.id}", DIM)])
    chapter = answer.chapters[answer.decisive]
    yield Told([(_label("since"), DIM), (f"{iso(answer.since)}, {age(max(0, now - answer.since))} ago", PLAIN)])
    asked = f" of {chapter.kind}, asked by {_asker(chapter)}" if chapter.id else ", written by no operation"
    yield Told([(_label("by"), DIM), (f"{answer.by.event} (#{answer.by.seq}){asked}", PLAIN)])
    if cause := _cause(answer, chapter):
        yield Told([(_label("because"), DIM), (cause, BAD)], ALWAYS)
    yield from _waiting(answer)
    if answer.may_be_asked:
        yield Told([(_label("now"), DIM), (f"may be asked: {', '.join(answer.may_be_asked)}", PLAIN)], GRAVE)


def _label(words: str) -> str:
    return f"{words:<9}"


def _cause(answer: Answer, chapter: Chapter) -> str | None:
    """Why the state was entered; that it failed is said below, if it waits for a person."""
    if answer.waiting is chapter and chapter.state == "Stuck":
        return None
    return answer.by.cause or (None if chapter.is_fine else _headline(chapter))


def _headline(chapter: Chapter) -> str | None:
    """The error without the candidates it lists: they are listed below."""
    listed = chapter.error and chapter.fields.get("reasons")
    return (chapter.error or "").partition(": ")[0] if listed else chapter.error


def _waiting(answer: Answer) -> Iterator[Told]:
    chapter = answer.waiting
    if chapter is None:
        return
    state, style = layout.state(chapter.state or "-")
    yield Told([(_label("waits"), DIM), (f"{chapter.kind} is ", PLAIN), (state, style), (f"  {chapter.id}", DIM)])
    if chapter.error:
        yield Told([(_label(""), PLAIN), (chapter.error, BAD)])
    for way in chapter.ways_out:
        command = f"interlock resolve {chapter.id} --{way} --reason …"
        yield Told([(_label("way out"), DIM), (command, HEAD)])
        yield Told([(_label(""), PLAIN), (WAYS.get(way, ""), PLAIN)], USUAL)


def _asker(chapter: Chapter) -> str:
    caller = chapter.fields.get("caller_id")
    actor = chapter.fields.get("actor") or chapter.rows[0].actor
    return f"{actor} on {caller}'s rights" if caller else str(actor)


# A chapter


def _one_line(chapter: Chapter) -> Told:
    why = f": {_headline(chapter)}" if chapter.error and not chapter.is_fine else ""
    line: Line = [(f"{_when(chapter)}  ", DIM), (f"{chapter.kind} ", PLAIN)]
    words = f" after {_took(chapter)}, asked by {_asker(chapter)}{why}"
    return Told([*line, layout.state(chapter.state or "-"), (words, PLAIN)], USUAL, chapter.rows[0].seq)


def _when(chapter: Chapter) -> str:
    return iso(chapter.began)[:19].replace("T", " ")


def _took(chapter: Chapter) -> str:
    return duration(chapter.last - chapter.began)


def _title(chapter: Chapter) -> Line:
    placed = len(chapter.choices)
    tries = f", {placed} placements" if placed > 1 else ""
    words = f"  {_when(chapter)}, asked by {_asker(chapter)}, {_took(chapter)}{tries}"
    return [(f"{chapter.kind} ", HEAD), layout.state(chapter.state or "-"), (words, DIM)]


def _chapter(chapter: Chapter) -> Iterator[Told]:
    yield Told(_title(chapter), WANTED, chapter.rows[-1].seq)
    if wanted := _wanted(chapter):
        yield Told([(" " * TIMES, PLAIN), (f"wanted: {wanted}", DIM)], LESSER, chapter.rows[0].seq)
    for item in chapter.items:
        yield from told_of(item, chapter, REFUSED)
    if not any(row.machine == "operation" for row in chapter.rows):
        # Of another program, or by hand: nothing is told but what moved.
        for row in chapter.rows[-MOVES:]:
            yield Told(_line(_move(row), after=duration(row.at - chapter.began)), USUAL, row.seq)


def _wanted(chapter: Chapter) -> str:
    asked = chapter.fields.get("request") or {}
    usual = {each.name: each.default for each in fields(KINDS[chapter.kind])} if chapter.kind in KINDS else {}
    said = {name: value for name, value in asked.items() if value not in (None, [], {}, usual.get(name))}
    return ", ".join(f"{name} {_value(value)}" for name, value in said.items())


def _value(value: object) -> str:
    if isinstance(value, list):
        return "+".join(_value(each) for each in value)
    if isinstance(value, dict):
        return "/".join(_value(each) for each in value.values() if each not in (None, [], {}))
    return str(value)


def told_of(item: Item, chapter: Chapter, most: int | None = None) -> Iterator[Told]:
    """The lines of one item.

    Args:
        most: candidates to tell of; None: all.
    """
    after = duration(item.row.at - chapter.began)
    match item:
        case Choice():
            yield from _of_choice(item, after, most)
        case Call():
            yield from _of_call(item, chapter, after)
        case Turn():
            yield from _of_turn(item, chapter, after, most)


def _line(words: str, style: str = PLAIN, after: str = "", took: str = "") -> Line:
    return [(f"{after:>9} {took:>8}  ", DIM), (words, style)]


def _of_choice(choice: Choice, after: str, most: int | None) -> Iterator[Told]:
    yield Told(_line(chose(choice.planner, choice.host, choice.pools), after=after), USUAL, choice.row.seq)
    yield from _candidates(choice.rejected, choice.rejected_in_all, most, LESSER, choice.row.seq)


def _candidates(
    refused: Sequence[tuple[str, str]], in_all: int, most: int | None, weight: int, seq: int
) -> Iterator[Told]:
    for candidate, reason in refused[:most]:
        yield Told(_line(f"not {candidate}: {reason}", DIM), weight, seq)
    if (rest := in_all - len(refused[:most])) > 0:
        yield Told(_line(f"and {rest} more were refused", DIM), weight, seq)


def _of_call(call: Call, chapter: Chapter, after: str) -> Iterator[Told]:
    took = duration(call.took) if call.took is not None else "?"
    words = f"undo {call.step}: " if call.undoing else f"{call.step}: "
    unheard = _unheard(call, chapter) if call.outcomes is None else ""
    calm = not call.refusals and not unheard
    line = _line(words + asked_for(call.effects), after=after, took=took)
    yield Told(line, (LAST if call.undoing else GOOD) if calm else USUAL, call.row.seq)
    if unheard:
        yield Told(_line(unheard, BAD), WANTED, call.row.seq)
    for outcome in dict.fromkeys(outcome for _, outcome in call.refusals):
        yield Told(_line(f"answered {outcome}", BAD), GRAVE, call.row.seq)


def _unheard(call: Call, chapter: Chapter) -> str:
    """What is said where no answer was written."""
    after = [each for each in chapter.calls if each.row.seq > call.row.seq]
    if after and after[0].effects == call.effects:
        return "no answer was heard; asked again"
    if after or chapter.is_over or chapter.state == "Stuck":
        return "no answer was heard"
    return "no answer is in the journal yet"


def _of_turn(turn: Turn, chapter: Chapter, after: str, most: int | None) -> Iterator[Told]:
    words = _course(turn, _is_said(turn, chapter))
    yield Told(_line(words, PLAIN if turn.retries else BAD, after), WANTED if turn.retries else GRAVE, turn.row.seq)
    for each in turn.avoided:
        until = f"until {iso(each['until'])[11:19]}" if "until" in each else ""
        yield Told(_line(f"avoids {each.get('scope')} {each.get('id')} {until}", DIM), USUAL, turn.row.seq)
    yield from _candidates(turn.reasons, len(turn.reasons), most and 2 * most, WANTED, turn.row.seq)


def _is_said(turn: Turn, chapter: Chapter) -> bool:
    """Whether the answer that the cause was made of stands in the line above."""
    said = [outcome for call in chapter.calls if call.settled_at == turn.row.at for _, outcome in call.refusals]
    return any(outcome.endswith(turn.row.cause or "-") for outcome in said)


def _course(turn: Turn, cause_is_said: bool) -> str:
    row = turn.row
    said = row.cause.partition(": ")[0] if row.cause and turn.reasons else row.cause
    cause = f": {said}" if said and not cause_is_said else ""
    if row.machine != "operation":
        return f"{row.machine} {row.entity_id} {row.source or 'new'} → {row.destination}{cause}"
    if turn.wake_at is not None and turn.retries:
        what = "its undo" if row.event == "UndoRetry" else "it"
        return f"tries {what} again after {duration(turn.wake_at - row.at)}{cause}"
    if row.event == "Claimed":
        return f"worker {row.changed.get('worker_id', 'that drives it')} goes on with it"
    return _TURNS.get(row.event, row.event) + _then(row) + cause


_TURNS = {
    "OperationFailed": "it cannot go on",
    "OperationStuck": "it is Stuck",
    "CancelRequested": "it is cancelled",
    "RetryRequested": "resolved by --retry",
    "UndoRequested": "resolved by --undo",
    "AcceptRequested": "resolved by --accept",
}


def _then(row: Transition) -> str:
    then = row.changed.get("then")
    return {"replan": ", is undone and planned again", "failed": ", is undone"}.get(str(then), "")


# In full


def full(answer: Answer, now: int) -> list[Line]:
    """The answer with every transition, decision, candidate and call."""
    told = [*_head(answer, now)]
    for chapter in answer.chapters:
        told += [Told([]), Told(_title(chapter)), *_about(chapter)]
        items: dict[int, list[Item]] = {}
        for item in chapter.items:
            items.setdefault(item.row.seq, []).append(item)
        for _, rows in groupby(chapter.rows, key=lambda row: row.at):
            told += list(_moment(list(rows), items, chapter))
    return [layout.printable(each.line) for each in told]


def _about(chapter: Chapter) -> Iterator[Told]:
    lines = (
        ("operation", chapter.id or ""),
        ("wanted", _wanted(chapter)),
        ("driven by", str(chapter.fields.get("worker_id") or "")),
        ("error", chapter.error or ""),
        ("way out", "; ".join(f"--{way}: {WAYS.get(way, '')}" for way in chapter.ways_out)),
    )
    for label, words in lines:
        if words:
            yield Told([(f"  {label:<10}", DIM), (words, PLAIN)])


def _moment(rows: Sequence[Transition], items: dict[int, list[Item]], chapter: Chapter) -> Iterator[Told]:
    """What was written at one time: each row, then what was decided in it."""
    after = duration(rows[0].at - chapter.began)
    for row in rows:
        yield Told(_line(_move(row), DIM, after))
        after = ""
        for item in items.get(row.seq, ()):
            yield from (Told(_untimed(told.line)) for told in told_of(item, chapter))


def _untimed(line: Line) -> Line:
    """Without the time, which stands above it."""
    times, style = line[0]
    return [(" " * 9 + times[9:], style), *line[1:]]


def _move(row: Transition) -> str:
    return f"#{row.seq} {row.machine} {row.entity_id}: {row.source or 'new'} → {row.destination} by {row.event}"


# Shared with `history`


def chose(planner: str, host: str, pools: Iterable[str]) -> str:
    """`first-fit chose host-1 and nfs`"""
    named = ", ".join(dict.fromkeys(pools))
    return f"{planner} chose {host}" + (f" and {named}" if named else "")


def asked_for(effects: Iterable[str]) -> str:
    """`PrepareNic ×2 at host-1, CreateVolume at nfs`: without the ids, which no one reads."""
    counted = Counter(map(_effect, effects)).items()
    return ", ".join(f"{command}{f' ×{count}' if count > 1 else ''} at {at}" for (command, at), count in counted)


def _effect(effect: str) -> tuple[str, str]:
    """`CreateVolume volume ID at POOL`"""
    words = effect.split() or ["?"]
    return words[0], words[-1]
