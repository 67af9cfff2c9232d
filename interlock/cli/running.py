"""Runs a command's coroutine, and ends it cleanly at Ctrl-C.

Promises: the first SIGINT or SIGTERM cancels the command, which lets effects under way answer, closes its engine and
raises `Interrupted`; the second ends the process at once, which is what `kill -9` does, and as harmless. No traceback.

Races considered. `asyncio.run` would handle SIGINT itself, but raises KeyboardInterrupt into whatever runs at the
second one, which can hang while closing; and it does not know SIGTERM. A signal after the command has ended, while
the loop closes, finds the default handlers again and `main` catches what they raise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from interlock.cli.exits import Exit, Interrupted

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h\n"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end.

    Raises:
        Interrupted: a signal came first.
    """
    return asyncio.run(_interruptible(work))


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    try:
        with _signals_to(task):
            return await work
    except asyncio.CancelledError:
        raise Interrupted from None


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Do it to its end even if a signal comes first, which is then heard."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


@contextmanager
def _signals_to(task: asyncio.Task[Any]) -> Iterator[None]:
    loop, heard = asyncio.get_running_loop(), False

    def interrupt() -> None:
        nonlocal heard
        if heard:
            _quit()
        heard = True
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def _quit() -> None:
    if sys.stdout.isatty():
        sys.stdout.write(SHOW_CURSOR)  # a progress display has hidden it
        sys.stdout.flush()
    os._exit(Exit.INTERRUPTED)
