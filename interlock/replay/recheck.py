"""Recorded inputs through today's code: does each decision come out as it was written?

A decision is compared row by row, in all that follows from it (not in the hashes, which follow from the rest). One that
differs is the code's doing if it saw what we show it. Where that is not certain it is said not to be comparable, and
counted: decisions of releases that wrote no input; those that wanted a plug-in which is not installed here; and those
that looked at figures of which the journal cannot say what they were, because another engine was writing at that
moment, or because something that was counted on was never written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import msgspec

from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.replay.decided import Cutter, Piece
from interlock.replay.past import Past, Scene
from interlock.replay.rules import Book
from interlock.schema.transition import Entry, Transition

COMPARED = tuple(name for name in Entry.__struct_fields__ if name not in ("prev", "hash", "tables"))


class Verdict(StrEnum):
    """How a decision compares."""

    SAME = "decided the same"
    DIFFERS = "decided otherwise"
    NO_INPUT = "written without its input, by an older release"
    NO_RULES = "its rules are not in the journal"
    NO_PLUGIN = "it wants a plug-in that is not installed here"
    UNSURE = "what it saw is not known: others were writing"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A decision of the past, and what today's code makes of it."""

    scene: Scene
    verdict: Verdict
    today: tuple[Entry, ...]
    """The rows that it would write."""
    refused: str | None = None
    """What today's code says instead of deciding."""


class Recheck:
    """Goes through a journal.

    Args:
        past: where it begins.
        book: the rules.
    """

    def __init__(self, past: Past, book: Book) -> None:
        self._past, self._book = past, book
        self._cutter = Cutter()
        self.counted: Counter[Verdict] = Counter()
        self.rows = 0

    def add(self, rows: Iterable[Transition]) -> Iterator[Answer]:
        """The answers to the decisions that end before or within these rows."""
        for piece in self._cutter.add(rows):
            yield from self._answered(piece)

    def end(self) -> Iterator[Answer]:
        """The answer to the last one."""
        for piece in self._cutter.end():
            yield from self._answered(piece)

    def _answered(self, piece: Piece) -> Iterator[Answer]:
        self.rows += len(piece.rows)
        if not piece.is_decision:
            self._past.take_cloud(piece)
            return
        scene = self._past.scene(piece)
        answer = self._answer(scene)
        self.counted[answer.verdict] += 1
        self._past.take(scene)
        yield answer

    def _answer(self, scene: Scene) -> Answer:
        if scene.event is None:
            return Answer(scene=scene, verdict=Verdict.NO_INPUT, today=())
        rules = self._book.rules((scene.piece.input or {}).get("rules"))
        if rules is None:
            return Answer(scene=scene, verdict=Verdict.NO_RULES, today=())
        self._book.wanted.clear()
        event, (snapshot, watched) = scene.event, self._past.snapshot(scene)
        decision, refused = _decided(lambda: self._past.asked(lambda: decide(snapshot, event, rules)))
        today = decision.journal if decision is not None else ()
        if refused is None and same(scene.piece.rows, today):
            verdict = Verdict.SAME
        elif self._book.wanted:
            verdict = Verdict.NO_PLUGIN
        else:
            sure = scene.known and (scene.exact or not watched.looked)
            verdict = Verdict.DIFFERS if sure else Verdict.UNSURE
        return Answer(scene=scene, verdict=verdict, today=today, refused=refused)


def _decided(work: Any) -> tuple[Decision | None, str | None]:
    try:
        return work(), None
    except Exception as error:  # whatever today's code raises is what it answers
        return None, f"{type(error).__name__}: {error}"


def same(recorded: Iterable[Entry], today: Iterable[Entry]) -> bool:
    """Whether rows say the same."""
    return list(map(_said, recorded)) == list(map(_said, today))


def _said(row: Entry) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in COMPARED)
