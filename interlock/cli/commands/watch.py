"""watch: every transition in the database as it is committed, by whichever process, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, Line
from interlock.cli.output import Out
from interlock.cli.times import clock, iso
from interlock.schema.errors import NotFound
from interlock.schema.transition import CLOUD, Transition

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

LOOK = 0.5
"""Seconds between looks for what other processes wrote. Too low: needless reads; too high: it is not live."""
REMEMBERED = 10_000
"""VM names kept. Too low: they are asked for again; too high: memory, where it watches for weeks."""
WIDE = 120
"""Characters from which on a terminal gets what a pipe gets."""


@command("watch")
@click.option("--after", metavar="SEQ", type=click.IntRange(min=0), help="Begin after this number; 0: with the first.")
async def watch(face: Face, after: int | None) -> Exit:
    """Follow all transitions as they happen, until Ctrl-C; with --json a line each."""
    async with face.looking() as engine:
        following = asyncio.ensure_future(_follow(face.out, engine, after))
        with _told_when_nobody_reads(lambda: following.cancel("nobody reads")):
            try:
                await following
            except asyncio.CancelledError as cancelled:
                if cancelled.args != ("nobody reads",):
                    raise
    return Exit.OK


async def _follow(out: Out, engine: Engine, after: int | None) -> None:
    names = Names(engine)
    async for transition in engine.subscribe(after, poll=LOOK):
        name = await names.of(transition)
        if out.json:
            from interlock.cli.commands.history import as_fields

            out.record({"name": name, **as_fields(transition)})
        else:
            _tell(out, name, transition)
        if out.gone:
            break


@contextmanager
def _told_when_nobody_reads(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` when the other end of a pipe is closed: without a new transition, no write would find out."""
    try:
        pipe = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(pipe).st_mode)
    except (OSError, ValueError):  # no file behind it, as in tests
        is_pipe = False
    if not is_pipe:
        yield
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(pipe)  # it stays so: each turn of the loop would tell again, in the middle of the ending
        tell()

    # The writing end of a pipe becomes "readable" for one reason only: its reader has gone.
    loop.add_reader(pipe, gone)
    try:
        yield
    finally:
        loop.remove_reader(pipe)


class Names:
    """The names of VMs, each asked for once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, str] = {}

    async def of(self, transition: Transition) -> str:
        """The name of the VM it belongs to."""
        vm_id = transition.vm_id
        if vm_id is None:
            return transition.entity_id
        if vm_id not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            try:
                self._known[vm_id] = (await self._engine.vm(vm_id)).name
            except NotFound:  # a journal older than its VM
                self._known[vm_id] = vm_id
        return self._known[vm_id]


def _tell(out: Out, name: str, transition: Transition) -> None:
    wide = out.width is None or out.width >= WIDE
    when = f"{transition.seq:>7}  {iso(transition.at)}" if wide else clock(transition.at)
    state, style = layout.state(transition.destination)
    line: Line = [
        (f"{when}  ", DIM),
        (f"{name:<{16 if wide else 9}}  {transition.machine:<9}  ", ""),
        (f"{transition.source or '-':>10} → ", DIM),
        (f"{state:<11}  ", style),
        (f"{transition.event:<24}  {_entity(transition)}" if wide else transition.event, ""),
    ]
    out.line(line)
    if transition.cause:
        out.line([(" " * (len(when) + 2) + f"because: {transition.cause}", layout.BAD)])
    out.flush()


def _entity(transition: Transition) -> str:
    """Which one moved; of the cloud, what."""
    if transition.machine != CLOUD:
        return transition.entity_id
    from interlock.cli.commands.history import told

    return told(transition)
