"""replay --check: today's code held against what is recorded; the first decision that comes out otherwise is shown,
what went in and what came out, beside each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from interlock.cli.commands.replay_history import history
from interlock.cli.exits import Exit, gravest
from interlock.cli.face import Face
from interlock.cli.layout import BAD, DIM, HEAD, Cell, Column, Row
from interlock.cli.output import Out
from interlock.cli.times import iso

if TYPE_CHECKING:
    from interlock.replay.contrast import Line
    from interlock.replay.recheck import Answer, Recheck
    from interlock.schema.transition import Transition

UNEQUAL = "≠"
LONGEST, BEFORE = 100, 40
"""Characters of a value that are shown, and how many of them before the first that differs. Too few: nobody knows what
it is about; too many: the two sides are not beside each other any more."""


async def check(face: Face, journals: tuple[str, ...]) -> Exit:
    """Each journal; the exit code is the gravest."""
    documents, found = [], []
    for name in journals or (face.db,):
        code, document = await _checked(face, name)
        documents.append(document)
        found.append(code)
    if face.out.json:
        face.out.document(documents)
    return gravest(found)


async def _checked(face: Face, name: str) -> tuple[Exit, dict[str, object]]:
    from interlock.engine.orchestrator import plugins
    from interlock.replay.past import Past
    from interlock.replay.recheck import Recheck
    from interlock.replay.rules import Book

    async with history(name) as pages:
        recheck = Recheck(Past(), Book(plugins.planners({}), plugins.gurus({})))
        differs = await _first(recheck, pages)
    if not face.out.json:
        _tell(face.out, name, recheck, differs)
    return Exit.FAILED if differs else Exit.OK, _document(name, recheck, differs)


async def _first(recheck: Recheck, pages: AsyncIterator[list[Transition]]) -> Answer | None:
    """The first decision that differs."""
    from interlock.replay.recheck import Verdict

    async for page in pages:
        for answer in recheck.add(page):
            if answer.verdict is Verdict.DIFFERS:
                return answer
    return next((answer for answer in recheck.end() if answer.verdict is Verdict.DIFFERS), None)


# --- telling


def _tell(out: Out, name: str, recheck: Recheck, differs: Answer | None) -> None:
    from interlock.replay.recheck import Verdict

    counted = {verdict: recheck.counted[verdict] for verdict in Verdict if recheck.counted[verdict]}
    out.line([(name, HEAD), (f"  {recheck.rows} transitions, {recheck.counted.total()} decisions", DIM)])
    for verdict, count in counted.items():
        out.line([(f"{count:>9}  {verdict.value}", BAD if verdict is Verdict.DIFFERS else "")])
    if differs is not None:
        _contrast(out, differs)


def _contrast(out: Out, answer: Answer) -> None:
    from interlock.replay.contrast import inputs, outputs

    operation, vm, first = answer.scene.operation, answer.scene.case.vm, answer.scene.piece.first
    about = f"{operation.kind} of VM {vm.name}" if vm else f"{operation.kind} {operation.id}"
    out.line()
    out.line([(f"transition {first.seq}: {about} is decided otherwise today", BAD)])
    out.line([(f"{iso(first.at)}, operation {operation.id}", DIM)])
    columns = (Column(""), Column(""), Column("RECORDED"), Column("TODAY"))
    for title, lines in (("INPUTS", inputs(answer)), ("OUTPUTS", outputs(answer))):
        out.line()
        out.table((Column(title), *columns[1:]), [_row(line) for line in lines])


def _row(line: Line) -> Row:
    recorded, other = _clipped(line.recorded, line.today)
    today: Cell = ("the same", DIM) if line.same else (other, BAD)
    mark: Cell = ("", "") if line.same else (UNEQUAL, BAD)
    return Row(((line.about, ""), mark, (recorded, ""), today))


def _clipped(recorded: str, today: str) -> tuple[str, str]:
    """Long words where they begin to differ; all of them are in the JSON form."""
    if max(len(recorded), len(today)) <= LONGEST:
        return recorded, today
    pairs = enumerate(zip(recorded, today, strict=False))
    alike = next((number for number, (was, would) in pairs if was != would), 0)
    begin = max(0, alike - BEFORE)
    return _piece(recorded, begin), _piece(today, begin)


def _piece(words: str, begin: int) -> str:
    end = begin + LONGEST
    return ("…" if begin else "") + words[begin:end] + ("…" if end < len(words) else "")


def _document(name: str, recheck: Recheck, differs: Answer | None) -> dict[str, object]:
    from interlock.replay.contrast import inputs, outputs

    counted = {verdict.name.lower(): count for verdict, count in recheck.counted.items()}
    found: dict[str, object] = {"journal": name, "transitions": recheck.rows, "decisions": counted, "differs": None}
    if differs is not None:
        found["differs"] = {
            "seq": differs.scene.piece.first.seq,
            "operation_id": differs.scene.operation.id,
            "inputs": inputs(differs),
            "outputs": outputs(differs),
        }
    return found
