"""What engines on one PostgreSQL tell each other: words on a channel, sent with a commit, heard by all who listen.

Promises: a word that belongs to a commit is heard after it, or not at all. While the connection stands nothing is
missed; after it broke, one word says that anything may have happened (`MISSED`). Nothing is asked of the server
meanwhile: an engine that hears nothing costs a connection and no SQL. SQLite has no such channel.

Races considered. The server goes away, or its restart takes long: the connection is made again with growing waits, and
only for as long as it is away. Closing comes while it is being made: it is waited for, and given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.store.script import literal

CHANNEL = "interlock"
SERVING = 0x1_7E41_0C5
"""The advisory lock that the sessions of all engines share that drive what others only asked for."""
AGAIN_FIRST, AGAIN_MOST = 0.1, 10.0
"""Seconds between tries to reach a server that went away. Too low: it is hammered while it starts; too high: others'
work is noticed late when it is back."""
TROUBLES = (PostgresError, InterfaceError, InternalClientError, DBAPIError, PoolTimeout, OSError)


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told."""

    by: str = ""
    """Which open database says it."""
    wrote: bool = False
    """Rows of the journal."""
    midway: bool = False
    """No operation ends with them: who waits for one need not look."""
    queued: bool = False
    """Among them is an operation that nobody drives yet."""
    cloud: bool = False
    """Among them are places or settings."""
    lease_until: int | None = None
    """A worker holds its lease until then, µs since 1970; 0: it has given it up."""
    cancel: str | None = None
    """An operation that whoever drives it is to undo."""
    actor: str = ""
    """On whose behalf."""


MISSED = Word(wrote=True, queued=True, cloud=True, lease_until=0)


def telling(word: Word) -> str:
    """SQL that tells it once the transaction has committed."""
    return f"NOTIFY {CHANNEL}, {literal(msgspec.json.encode(word).decode())}"


class Listening:
    """One engine's ear.

    Args:
        own: what `by` is of those words that it need not hear.
        heard: told each of the others.
        serves: whether this engine drives what others only asked for.
    """

    def __init__(self, engine: AsyncEngine, own: str, heard: Callable[[Word], None], serves: bool) -> None:
        self._engine = engine
        self._own = own
        self._heard = heard
        self._serves = serves
        self._connection: AsyncConnection | None = None
        self._closed = False
        self._again: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Listen from now on.

        Raises:
            DBAPIError, OSError: the server cannot be reached.
        """
        self._connection = connection = await self._engine.connect()
        driver = cast(Any, (await connection.get_raw_connection()).driver_connection)
        driver.add_termination_listener(self._ended)
        await driver.add_listener(CHANNEL, self._hear)
        if self._serves:
            await driver.execute(f"SELECT pg_advisory_lock_shared({SERVING})")

    def _hear(self, _driver: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            word = msgspec.json.decode(str(payload), type=Word)
        except msgspec.DecodeError:
            word = MISSED  # of another release, perhaps: it means something
        if word.by != self._own and not self._closed:
            self._heard(word)

    def _ended(self, _driver: Any) -> None:
        if not self._closed and self._again is None:
            self._again = asyncio.get_running_loop().create_task(self._until_back(), name="interlock listening")

    async def _until_back(self) -> None:
        wait = AGAIN_FIRST
        try:
            while not self._closed:
                await self._forget()
                try:
                    await self.begin()
                except TROUBLES:
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, AGAIN_MOST)
                else:
                    self._heard(MISSED)
                    return
        finally:
            self._again = None

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        """Hear no more."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        await self._forget()
