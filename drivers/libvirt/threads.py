"""Blocking work in a thread of its own, awaited from the event loop.

A thread for each call, not a pool: how many there are at a time is bounded by who calls (link.py); none is ever idle,
so none is left; and one that hangs for good holds up nobody, not even the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Start it; the future has what it returns or raises. Cancelling the future stops nothing."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    threading.Thread(target=_run, args=(loop, future, work), name=name, daemon=True).start()
    return future


def _run(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], work: Callable[[], T]) -> None:
    answer: Callable[[], None]
    try:
        result = work()
    except BaseException as error:  # also SystemExit of a hook: it belongs to whoever waits
        raised = error

        def answer() -> None:
            if not future.done():
                future.set_exception(raised)
    else:

        def answer() -> None:
            if not future.done():
                future.set_result(result)

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(answer)


async def in_thread(work: Callable[[], T], name: str = "interlock-libvirt") -> T:
    """Do it, and wait for it."""
    return await begin(work, name)
