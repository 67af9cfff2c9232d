"""libvirt's event loop: one thread of the process, which runs while somebody has a connection open.

libvirt knows one event loop per process. With `libvirtaio` it would be that of one asyncio loop, and engines in other
loops or threads would get no keepalive; so it is libvirt's own, in a thread, and what it hears is handed to the asyncio
loop of whoever listens. Keepalive goes on however busy that one is.

Promises: `hold` before a connection is opened, `release` after it was closed; after the last release the thread ends.
An embedder who has registered an event loop of its own must do so before, and run it: ours is then left alone.
"""

from __future__ import annotations

import threading
from typing import Any

from interlock.drivers.libvirt.boundary import lib

NAME = "interlock-libvirt-events"
PULSE_MS = 1_000
"""How often the thread wakes by itself. Too high: an end that was missed is noticed late; low costs little."""


class EventThread:
    """The one of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._thread: threading.Thread | None = None
        self._timer: int | None = None

    def hold(self) -> None:
        """Have it run."""
        with self._lock:
            self._holders += 1
            if self._timer is None:
                lib().virEventRegisterDefaultImpl()
                self._timer = lib().virEventAddTimeout(PULSE_MS, _pulse, None)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
                self._thread.start()

    def release(self) -> None:
        """Have it end, if nobody else holds it."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                lib().virEventUpdateTimeout(self._timer, 0)  # wakes it

    def _run(self) -> None:
        while True:
            lib().virEventRunDefaultImpl()
            with self._lock:
                if not self._holders:
                    self._thread = None
                    return


def _pulse(timer: int, opaque: Any) -> None:
    """The thread is awake now, which is all that it is for."""
    lib().virEventUpdateTimeout(timer, PULSE_MS)


EVENTS = EventThread()
