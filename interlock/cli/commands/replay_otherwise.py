"""replay --planner, --guru, --setting: a recorded history played otherwise, beside what was.

The model is told in the words of `interlock/replay/otherwise`. The history is played once without the change as well:
what differs then is the model's doing, and said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.cli import layout
from interlock.cli.commands.replay_history import history
from interlock.cli.exits import Exit
from interlock.cli.face import Face
from interlock.cli.layout import BAD, DIM, HEAD, Column, Row, plain
from interlock.cli.output import Out, note
from interlock.cli.times import duration, iso

if TYPE_CHECKING:
    from interlock.replay.otherwise.compare import Comparison, Figures, Turned
    from interlock.replay.otherwise.script import Script
    from interlock.replay.otherwise.simulation import Change

LISTED = 10
"""Lines of each list without --full."""
HOSTS = 24
"""Hosts that have a bar of their own without --full; larger fleets are counted by tenths."""
WIDTH = 110
"""Of running text where there is no terminal."""
MODEL = (
    "The model: the same people ask for the same at the same moments, and today's core decides. Places answer as "
    "recorded: to the same command of the same operation at the same place, what they did; one that refused such a "
    "command refuses it until it was next recorded to do it; else all is done, in the usual time. Left out are "
    "requests that were refused at once (no journal has them) and what hosts reported by themselves."
)


@dataclass(frozen=True)
class Wanted:
    """What shall be otherwise."""

    planner: str | None
    gurus: dict[str, str]
    settings: dict[str, str]

    @property
    def words(self) -> str:
        """For headings."""
        found = [f"planner {self.planner}"] if self.planner else []
        found += [f"guru {name} for {network}" for network, name in self.gurus.items()]
        return ", ".join([*found, *(f"{name} = {value}" for name, value in self.settings.items())])


async def play(face: Face, name: str, wanted: Wanted, svg: Path | None, full: bool) -> Exit:
    """Read the history, play it twice, and tell."""
    from interlock.engine.orchestrator import plugins
    from interlock.replay.otherwise.compare import compared
    from interlock.replay.otherwise.script import Script
    from interlock.replay.otherwise.simulation import Change, Simulation
    from interlock.replay.rules import Book

    book = Book(plugins.planners({}), plugins.gurus({}))
    async with history(name) as pages:
        script = Script()
        async for page in pages:
            script.add(page)
        script.end()
    change = _change(wanted, script, book)
    control, other = (Simulation(script, book, each) for each in (Change(), change))
    control.run()
    other.run()
    usual, found = compared(script, control), compared(script, other)
    if face.out.json:
        face.out.document(_document(name, wanted, usual, found))
    else:
        Told(face.out, script, full).tell(name, wanted, usual, found)
    if svg is not None:
        _draw(svg, _picture(found, name, wanted))
    return Exit.OK


def _change(wanted: Wanted, script: Script, book: Any) -> Change:
    """What is wanted, checked.

    Raises:
        InvalidRequest: there is no such planner, guru, network or setting.
    """
    from interlock.embed.description.knobs import row_of, value_of
    from interlock.replay.otherwise.simulation import Change
    from interlock.schema.errors import NotFound
    from interlock.schema.settings import SettingScope

    if wanted.planner is not None:
        book.planner(wanted.planner)
    networks = script.past.store.places["network"]
    for network, guru in wanted.gurus.items():
        book.guru(guru)
        if network not in networks:
            raise NotFound(f"there is no network {network!r}; there are: {', '.join(sorted(networks))}")
    settings = []
    for name, text in wanted.settings.items():
        value = row_of(name, SettingScope.GLOBAL).parse(text)
        settings.append(value_of(name, value, SettingScope.GLOBAL, None))
    return Change(planner=wanted.planner, gurus=wanted.gurus, settings=tuple(settings))


# --- telling


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


class Told:
    """Tells people.

    Args:
        full: lists are not cut.
    """

    def __init__(self, out: Out, script: Script, full: bool) -> None:
        self._out, self._script, self._full = out, script, full

    def tell(self, name: str, wanted: Wanted, usual: Comparison, found: Comparison) -> None:
        """All of it."""
        self._head(name, wanted, usual)
        self._figures(found, wanted)
        self._moved(found)
        self._turned("would have failed, and did not", found.fails)
        self._turned("failed, and would not have", found.succeeds)
        self._fills(found, wanted)

    def _head(self, name: str, wanted: Wanted, usual: Comparison) -> None:
        out, wishes = self._out, self._script.wishes
        out.line([(f"{name}: {wanted.words}", HEAD)])
        if wishes:
            length = duration(wishes[-1].at - wishes[0].at)
            out.line([(f"{len(wishes)} wishes in {length} from {iso(wishes[0].at)}", DIM)])
        ends = len(usual.fails) + len(usual.succeeds)
        near = (
            f"How near it comes: without the change it puts {len(usual.moved)} of {usual.vms} VMs elsewhere than they "
            f"were, and has {_many(ends, 'operation')} end otherwise."
        )
        for words in (MODEL, near):
            for line in textwrap.wrap(words, out.width or WIDTH, break_on_hyphens=False):
                out.line([(line, DIM)])
        for count, words in (
            (self._script.left_out, "requests that followed from what hosts reported are left out"),
            (self._script.without_input, "decisions of older releases do not say what was asked, and are left out"),
        ):
            if count:
                out.line([(f"{count} {words}", BAD)])

    def _figures(self, found: Comparison, wanted: Wanted) -> None:
        self._out.line()
        rows = [Row(tuple(map(plain, cells))) for cells in _figures(found)]
        columns = (Column(""), Column("RECORDED", right=True), Column("OTHERWISE", right=True))
        self._out.table(columns, rows)

    def _moved(self, found: Comparison) -> None:
        self._title(f"{len(found.moved)} of {found.vms} VMs would stand elsewhere")
        rows = [Row((plain(each.vm), plain(each.was), plain(each.would_be))) for each in self._cut(found.moved)]
        self._list((Column("VM"), Column("STOOD ON"), Column("WOULD STAND ON")), rows, len(found.moved))

    def _turned(self, words: str, turned: Sequence[Turned]) -> None:
        self._title(f"{_many(len(turned), 'operation')} {words}")
        rows = [Row((plain(each.vm), plain(each.kind), plain(self._short(each.why)))) for each in self._cut(turned)]
        self._list((Column("VM"), Column("OPERATION"), Column("WHY")), rows, len(turned))

    def _title(self, words: str) -> None:
        self._out.line()
        self._out.line([(words, HEAD)])

    def _list(self, columns: tuple[Column, ...], rows: list[Row], count: int) -> None:
        if rows:
            self._out.table(columns, rows)
        if count > len(rows):
            self._out.line([(f"… and {count - len(rows)} more; --full lists them", DIM)])

    def _short(self, why: str) -> str:
        first, more, _ = why.partition("; ")
        return why if self._full or not more else f"{first}; …"

    def _cut(self, found: Sequence[Any]) -> Sequence[Any]:
        return found if self._full else found[:LISTED]

    def _fills(self, found: Comparison, wanted: Wanted) -> None:
        thing = found.scarce
        sides = found.recorded.fills, found.otherwise.fills
        self._title(f"{thing} held of each host at the end")
        each_host = self._full or len(sides[0]) <= HOSTS
        rows = _bars(thing, *sides) if each_host else _tenths(thing, *sides)
        self._out.table((Column("HOST" if each_host else "FULL"), Column("RECORDED"), Column("OTHERWISE")), list(rows))


def _figures(found: Comparison) -> Iterator[tuple[object, ...]]:
    sides = found.recorded, found.otherwise
    yield "operations that succeeded", *(side.succeeded for side in sides)
    yield "operations that failed", *(side.failed for side in sides)
    yield "operations refused at once", "", found.otherwise.refused
    yield "placements tried again", *(side.replaced for side in sides)
    yield "VMs that hold a host", *(side.standing for side in sides)
    yield "hosts in use", *(f"{len(side.shares('cpu'))} of {len(side.fills)}" for side in sides)
    for thing in ("cpu", "memory"):
        yield f"fullest host, {thing}", *(_share(side, thing, max) for side in sides)
        yield f"emptiest host in use, {thing}", *(_share(side, thing, min) for side in sides)
        yield f"fullest host at any time, {thing}", *(_share(side, f"most_{thing}", max) for side in sides)


def _share(side: Figures, thing: str, pick: Callable[[list[float]], float]) -> str:
    shares = side.shares(thing)
    return f"{pick(shares):.1%}" if shares else ""


def _bars(thing: str, recorded: Sequence[Any], otherwise: Sequence[Any]) -> Iterator[Row]:
    there = {fill.host_id: fill for fill in otherwise}
    for fill in recorded:
        shares = (getattr(fill, thing), getattr(there[fill.host_id], thing) if fill.host_id in there else 0.0)
        yield Row((plain(fill.host_id), *((f"{layout.bar(share)} {share:4.0%}", "") for share in shares)))


def _tenths(thing: str, *sides: Sequence[Any]) -> Iterator[Row]:
    """How many hosts are how full."""
    counted = []
    for fills in sides:
        shares = [getattr(fill, thing) for fill in fills]
        counted.append([sum(share == 0 for share in shares)] + [sum(_tenth(s) == n for s in shares) for n in range(10)])
    most = max(1, *(count for counts in counted for count in counts))
    for number in range(10, -1, -1):
        if not any(counts[number] for counts in counted):
            continue
        label = f"{10 * number - 10}–{10 * number}%" if number else "nothing"
        cells = ((f"{layout.bar(counts[number] / most, 20)} {counts[number]:>5}", "") for counts in counted)
        yield Row((plain(label), *cells))


def _tenth(share: float) -> int:
    return -1 if share == 0 else min(9, int(share * 10))


def _document(name: str, wanted: Wanted, usual: Comparison, found: Comparison) -> dict[str, object]:
    control = {"moved": len(usual.moved), "ends": len(usual.fails) + len(usual.succeeds)}
    return {"journal": name, "otherwise": wanted.words, "model": MODEL, "control": control, "comparison": found}


def _draw(svg: Path, picture: str) -> None:
    svg.write_text(picture, encoding="utf-8")
    note(f"drawn: {svg}")


def _picture(found: Comparison, name: str, wanted: Wanted) -> str:
    from interlock.pictures.fills import Pair, Side, as_svg

    thing = found.scarce
    there = {fill.host_id: fill for fill in found.otherwise.fills}
    pairs = [
        Pair(
            fill.host_id,
            Side(getattr(fill, thing), getattr(fill, f"most_{thing}")),
            Side(getattr(there[fill.host_id], thing), getattr(there[fill.host_id], f"most_{thing}")),
        )
        for fill in found.recorded.fills
        if fill.host_id in there
    ]
    remark = f"{len(found.moved)} of {found.vms} VMs elsewhere. Bars: at the end. Marks: at most."
    title = f"{thing} held of each host"
    return as_svg(title, f"{Path(name).name}. {remark}", ("as recorded", wanted.words), pairs)
