"""The change feed: which rows of the journal others have written since figures in memory were last right.

Every engine knows the numbers of its own rows, and numbers have no gaps and come in the order of commits: all others up
to the journal's head are somebody else's. What moved is in their ledger, so figures follow by reading those rows alone,
however many hosts there are.

Promises: a row is handed over once, and never one of our own. Where that cannot be told (figures were never read, too
much was missed, rows have left for an archive), `follow` says so, and figures are read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from interlock.schema.holdings import Movement

MOST = 50_000
"""Rows that are followed; beyond, figures are read as a whole. Too low: many hosts are read again for little; too high:
an engine that slept long holds all of it in memory at once."""

_tables = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_movements = msgspec.json.Decoder(tuple[Movement, ...])

_ABOUT = "account_id || '\n' || planner || '\n' || affinity_groups"
_CHANGED_HANDS = """machine = 'vm' AND version > 1 AND (changes LIKE '%"account_id":%' OR changes LIKE '%"planner":%'
            OR changes LIKE '%"affinity_groups":%')"""
_SELECT = f"""
    SELECT told.number, told.head, seq, machine, entity_id, ledger, about, cloud, changed_hands FROM
    (SELECT count(*) AS number, max(seq) AS head FROM journal WHERE {{ranges}}) AS told LEFT JOIN (
        SELECT seq, machine, entity_id, ledger,
            CASE WHEN machine = 'vm' AND ledger LIKE '%"cpu"%'
                THEN (SELECT {_ABOUT} FROM vm WHERE vm.id = entity_id) END AS about,
            CASE WHEN machine = 'cloud' THEN changes END AS cloud,
            CASE WHEN {_CHANGED_HANDS} THEN 1 ELSE 0 END AS changed_hands
        FROM journal WHERE ({{ranges}}) AND (ledger <> '[]' OR machine = 'cloud' OR {_CHANGED_HANDS})
    ) AS telling ON told.number <= {MOST} ORDER BY seq
"""  # noqa: S608 - nothing in it comes from outside
"""How many rows there are and up to where, and those that tell something: two in three move nothing. One statement, so
that VMs are as they are when its last row is the head. The bounds of a range are both given: a planner that knows
nothing of the table takes an index for those, and for one alone perhaps not."""
_HEAD = "(SELECT max(seq) FROM journal)"


class Tenant(msgspec.Struct, frozen=True):
    """What is counted of a VM on a host."""

    account_id: str
    planner: str
    affinity_groups: tuple[str, ...]


class Moved(msgspec.Struct, frozen=True):
    """A movement that somebody else has written; `vm` for those by which a VM comes to a host or leaves it."""

    movement: Movement
    vm: Tenant | None


class News(msgspec.Struct, frozen=True):
    """What others have written up to the journal's row `head`."""

    head: int
    moved: tuple[Moved, ...]
    cloud: frozenset[str]
    """The tables of places, settings and groups that were written."""


class Feed:
    """How far the figures of one engine follow the journal."""

    def __init__(self) -> None:
        self.head: int | None = None
        """The last row that is ours, or was found by us; None: nothing was read yet."""
        self.hinted = False
        """Whether somebody says that there is more."""
        self._missed: list[tuple[int, int]] = []
        """Others' rows up to `head`: after the first number, up to the second."""

    @property
    def overtaken(self) -> bool:
        """Whether others have written, or may have, since figures were last right."""
        return bool(self._missed) or self.hinted

    def found(self, head: int) -> bool:
        """A batch of ours, with all others excluded, finds the journal's head; whether figures are older than it."""
        if self.head is not None and head != self.head:
            self._missed.append((self.head, head))
        self.head, self.hinted = head, False
        return bool(self._missed)

    def wrote(self, head: int) -> None:
        """The batch has been written up to this row."""
        self.head = head

    def caught_up(self, head: int) -> None:
        """Figures are as of this row."""
        self.head, self.hinted = head, False
        self._missed.clear()

    def query(self) -> tuple[str, tuple[int, ...]] | None:
        """SQL for the rows of others with its values, asked between two batches of ours; None: figures must be read as
        a whole."""
        if self.head is None or sum(end - after for after, end in self._missed) > MOST:
            return None
        ranges = ["(seq > ? AND seq <= ?)"] * len(self._missed) + [f"(seq > ? AND seq <= {_HEAD})"]
        values = (*(bound for missed in self._missed for bound in missed), self.head)
        return _SELECT.format(ranges=" OR ".join(ranges)), (*values, *values)

    def news(self, rows: Sequence[Sequence[Any]]) -> News | None:
        """What the rows tell; None if they do not tell all."""
        number, last = rows[0][:2]
        head = max(self.head or 0, last or 0)
        expected = sum(end - after for after, end in self._missed) + head - (self.head or 0)
        telling = [row[2:] for row in rows if row[2] is not None]
        if number != expected or number > MOST or not _are_known(telling):
            return None
        moved = tuple(each for row in telling if row[3] != "[]" for each in _moved(row))
        return News(head, moved, frozenset(each for row in telling if row[5] is not None for each in _tables(row[5])))


def _moved(row: Sequence[Any]) -> Iterable[Moved]:
    tenant = None if row[4] is None else _tenant(row[4])
    for movement in _movements.decode(row[3]):
        yield Moved(movement, tenant if movement.thing == "cpu" else None)


def _tenant(said: str) -> Tenant:
    account_id, planner, groups = said.split("\n", 2)
    return Tenant(account_id, planner, msgspec.json.decode(groups, type=tuple[str, ...]))


def _are_known(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether each VM that came or went is still there, and was then whose it is now: the rows say what it is now."""
    on_hosts: set[str] = set()
    for _, machine, entity_id, ledger, about, _, changed_hands in rows:
        if changed_hands and entity_id in on_hosts:
            return False
        if machine == "vm" and '"cpu"' in ledger:
            if about is None:
                return False
            on_hosts.add(entity_id)
    return True
