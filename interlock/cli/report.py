"""How results are told as they come: a line each; on a terminal with a live display beneath, for `--json` at the end.

Promises: a line for each VM whose operation ended, on standard output; requests that were refused have no VM and go
to standard error, those refused for the same reason together. The display is drawn by a task of the command's own
loop (Rich would start a thread) and is gone, task and all, when `end` returns.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from interlock.cli import layout
from interlock.cli.layout import DIM, PLAIN, Line
from interlock.cli.output import Out, note
from interlock.cli.times import SECOND, duration
from interlock.cli.work import Reporter, Result, Work, headline
from interlock.schema.machines import MACHINES

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

FRAME = 0.1
"""Seconds between pictures. Too low: drawing costs more than deploying; too high: it does not look alive."""
NAMES = 3
"""Names told of those refused for one reason."""


def reporter(out: Out, title: str) -> Reporter:
    """The one that fits where standard output goes."""
    if out.json:
        return Silent()
    return Display(out, title) if out.terminal else Lines(out)


class Silent:
    """Tells nothing; the results go into one document at the end."""

    def begin(self, work: Work) -> None:
        """Nothing to do."""

    def ended(self, result: Result) -> None:
        """Nothing to say."""

    async def end(self) -> None:
        """Nothing was begun."""


class Lines:
    """A line for each."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.work: Work | None = None
        self._refused: dict[str, list[str]] = {}

    def begin(self, work: Work) -> None:
        """Remember whose results these are."""
        self.work = work

    def ended(self, result: Result) -> None:
        """Say it, or keep a refusal for the end."""
        if result.operation is None:
            self._refused.setdefault(result.message or "refused", []).append(result.name)
            return
        self.say(_line(result, result.message))
        self.out.flush()

    def say(self, line: Line) -> None:
        """A line of the result."""
        self.out.line(line)

    async def end(self) -> None:
        """Say what was refused."""
        for message, names in self._refused.items():
            alone = len(names) == 1 and self.work is not None and self.work.known == 1
            note(message if alone else f"{_listed(names)}: {message}")


class Display(Lines):
    """Lines, and beneath them what is under way."""

    def __init__(self, out: Out, title: str) -> None:
        super().__init__(out)
        self._title = title
        self._states: dict[str, str] = {}
        self._began = time.monotonic()
        self._live: Live | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, work: Work) -> None:
        """Begin to draw."""
        from rich.live import Live

        super().begin(work)
        self._live = Live(console=self.out.console, auto_refresh=False, transient=True, get_renderable=self._picture)
        self._live.start()
        self._tasks = [asyncio.create_task(each) for each in (self._follow(work), self._draw(self._live))]

    async def end(self) -> None:
        """Wipe the display away, and sum up."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._live is not None:
            self._live.stop()
        await super().end()
        if self.work is not None and 1 < self.work.known == len(self.work.results) + len(self.work.taken_over):
            took = duration(int((time.monotonic() - self._began) * SECOND))
            results = (*self.work.results, *self.work.taken_over)
            ends = Counter(result.state or "refused" for result in results)
            self.say([(f"{self._title}: {_counted(ends)} in {took}", DIM)])

    def ended(self, result: Result) -> None:
        """Say it; if it was the only one, with every candidate and why not."""
        operation = result.operation
        if operation is None or not operation.reasons:
            super().ended(result)
            return
        self.say(_line(result, headline(operation)))
        if self.work is not None and self.work.known == 1:
            for candidate, reason in operation.reasons:
                self.say([(f"  {candidate}: {reason}", DIM)])

    def say(self, line: Line) -> None:
        """A line of the result, and the display as it is now beneath it."""
        super().say(line)
        if self._live is not None:
            self._live.refresh()

    async def _follow(self, work: Work) -> None:
        async for each in work.engine.subscribe():
            if each.machine == "vm":
                self._states[each.entity_id] = each.destination

    async def _draw(self, live: Live) -> None:
        while True:
            live.refresh()
            await asyncio.sleep(FRAME)

    def _picture(self) -> Text:
        from rich.text import Text

        work = self.work
        if work is None or not work.known:
            return Text()
        done = len(work.results) + len(work.taken_over)
        states = Counter(self._states[vm] for vm in work.vms if vm in self._states)
        shown: Line = [(f"{self._title} ", layout.HEAD), (layout.bar(done / work.known, 20), "cyan")]
        shown.append((f" {done}/{work.known} ", PLAIN))
        for state in MACHINES["vm"].states:
            if states[state]:
                shown += [(f"  {states[state]} ", PLAIN), layout.state(state)]
        return Text.assemble(*shown, overflow="ellipsis", no_wrap=True)


def _line(result: Result, message: str | None) -> Line:
    line: Line = [(f"{result.name:<16}  ", PLAIN), _padded(layout.state(result.state or "-"), 9)]
    if result.exit:
        return [*line, (message or f"{result.kind} failed", layout.BAD)]
    return [*line, (_where(result), PLAIN)]


def _where(result: Result) -> str:
    """Of a VM its host and address; of a disk its VM, pool and size."""
    if (disk := result.disk) is not None:
        vm = result.vm.name if result.vm and disk.vm_id else "-"
        return f"{vm:<16}  {disk.pool_id or '-':<16}  {disk.size_mib} MiB"
    host = result.vm.host_id if result.vm else None
    return f"{host or '-':<16}  {result.ip or '-'}"


def _padded(cell: layout.Cell, width: int) -> layout.Cell:
    return f"{cell[0]:<{width}}  ", cell[1]


def _listed(names: list[str]) -> str:
    rest = len(names) - NAMES
    return ", ".join(names[:NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _counted(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())


def document(work: Work) -> dict[str, Any]:
    """The results as the JSON document of a command."""
    return {
        "results": [_fields(result) for result in work.results],
        "taken_over": [_fields(result) for result in work.taken_over],
    }


def _fields(result: Result) -> dict[str, Any]:
    operation, vm = result.operation, result.vm
    return {
        "name": result.name,
        "kind": result.kind,
        "vm_id": vm.id if vm else None,
        "disk_id": result.disk.id if result.disk else None,
        "state": result.state,
        "host": vm.host_id if vm else None,
        "ip": result.ip,
        "operation_id": operation.id if operation else None,
        "operation_state": operation.state if operation else None,
        "error": _error(result),
    }


def _error(result: Result) -> dict[str, Any] | None:
    if result.message is None:
        return None
    return {
        "code": result.error.code if result.error else "operation-failed",
        "message": result.message,
        "reasons": [list(each) for each in result.operation.reasons] if result.operation else [],
    }
