"""A journal, decision by decision: the rows that were written together because one event was answered.

A decision begins with the row that carries its input (`engine/core/inputs.py`). Rows of releases that wrote none are
told apart by their operation and time; rows of the cloud stand alone.

Promises: every row is in exactly one piece, in order; nothing is kept but the piece that is being read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from interlock.engine.core.inputs import input_in
from interlock.schema.records import RECORDS
from interlock.schema.transition import Transition


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that belong together."""

    rows: tuple[Transition, ...]
    input: dict[str, Any] | None
    """What the decision was told; None: the rows do not say."""

    @property
    def first(self) -> Transition:
        """Its first row."""
        return self.rows[0]

    @property
    def is_decision(self) -> bool:
        """Whether it moves entities; else it tells of the cloud."""
        return self.first.machine in RECORDS


class Cutter:
    """Cuts rows, however they come in pages, into pieces."""

    def __init__(self) -> None:
        self._rows: list[Transition] = []
        self._input: dict[str, Any] | None = None

    def add(self, rows: Iterable[Transition]) -> Iterator[Piece]:
        """The pieces that end before or within these rows."""
        for row in rows:
            said = input_in(row)
            if self._rows and (said is not None or not self._goes_on(row)):
                yield self._cut()
            if not self._rows:
                self._input = said
            self._rows.append(row)

    def end(self) -> Iterator[Piece]:
        """What is left after the last row."""
        if self._rows:
            yield self._cut()

    def _goes_on(self, row: Transition) -> bool:
        before = self._rows[-1]
        together = before.machine in RECORDS and row.machine in RECORDS
        return together and (row.operation_id, row.at) == (before.operation_id, before.at)

    def _cut(self) -> Piece:
        piece = Piece(rows=tuple(self._rows), input=self._input)
        self._rows, self._input = [], None
        return piece


def pieces(rows: Iterable[Transition]) -> Iterator[Piece]:
    """All pieces of rows that are at hand."""
    cutter = Cutter()
    yield from cutter.add(rows)
    yield from cutter.end()
