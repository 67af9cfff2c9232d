"""The store's face: open, commit, read.

Promises: an acknowledged commit survives power loss (SQLite: WAL, synchronous=FULL). The store keeps no state of
entities. It tells the engine when others have written, so that figures kept in memory can be read again. It runs no
SQL unless asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import msgspec
from sqlalchemy import Select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from interlock.engine.core.decision import Author, Decision
from interlock.engine.observer import Observers
from interlock.engine.orchestrator.clock import now
from interlock.engine.store import cloud, queries
from interlock.engine.store.cloud import Advanced, Rows
from interlock.engine.store.commit import Counters, Written
from interlock.engine.store.conflicts import Conflicts
from interlock.engine.store.database import Database
from interlock.engine.store.feed import Feed, News
from interlock.engine.store.joined import take_lock
from interlock.engine.store.listening import Listening, Word, telling
from interlock.engine.store.migrate import bring_up_to_date
from interlock.engine.store.opening import TROUBLES, dispose, must_be_possible, normal, pool, said, writing
from interlock.engine.store.reads import Reads
from interlock.engine.store.sqlite import Threads
from interlock.engine.store.verdict import Verdict, Why, why
from interlock.engine.store.writer import Writer
from interlock.schema.cloud import PLACES, Place
from interlock.schema.errors import EngineClosed, InvalidRequest, StoreError
from interlock.schema.transition import OURS

T = TypeVar("T")


class Store(Reads):
    """One open database. Make it with `Store.open`."""

    def __init__(
        self, engine: AsyncEngine, database: Database, threads: Threads, name: str, conflicts: Conflicts
    ) -> None:
        super().__init__(engine)
        self.name = name
        """What tells this open database from others in what engines tell each other."""
        self.conflicts = conflicts
        """What was given up because of others, and asked again."""
        self.on_heard: Callable[[Word], None] = lambda word: None
        """Told what other engines tell; see `listen`."""
        self._listening: Listening | None = None
        self._beginning = asyncio.Lock()
        self._threads = threads
        self.feed = Feed()
        """What others have written since figures in memory were last right."""
        self.on_written: Callable[[], None] = lambda: None
        """Called after each commit of ours."""
        self.observer: Observers | None = None
        """Who is told of each decision that was written, and by the shell of all else; None: nobody."""
        self._reads = 0
        self._closed = False
        self._quiet = asyncio.Event()
        self._writer = Writer(database, self.feed.found, self._wrote)

    @classmethod
    async def open(cls, url: str, *, create: bool = True) -> Store:
        """Open, and make or migrate if need be.

        Args:
            url: a SQLAlchemy URL of SQLite or PostgreSQL, or the path of a SQLite file.
            create: whether a database that is not there may be made.

        Raises:
            StoreError: it cannot be reached, is not there, or is of a newer release.
        """
        opening = asyncio.ensure_future(cls._open(url, create))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # A connection that is given up while it is being made leaves a thread behind: let it be made, then close.
            await asyncio.gather(opening, return_exceptions=True)
            if not opening.cancelled() and opening.exception() is None:
                await opening.result().close()
            raise

    @classmethod
    async def _open(cls, url: str, create: bool) -> Store:
        parsed = normal(url)
        if parsed.get_backend_name() == "sqlite":
            must_be_possible(Path(parsed.database or ""), create)
        threads: Threads = WeakSet()
        engine = pool(parsed, threads)
        try:
            await bring_up_to_date(engine, create=create)
            name, conflicts = secrets.token_hex(4), Conflicts()
            return cls(engine, await writing(engine, name, conflicts), threads, name, conflicts)
        except TROUBLES as error:
            await dispose(engine, threads)
            raise StoreError(f"cannot open {parsed.render_as_string()}: {said(error)}") from error
        except BaseException:
            await dispose(engine, threads)
            raise

    @property
    def counters(self) -> Counters:
        """What the commit path has cost so far."""
        return self._writer.database.counters

    @property
    def listens(self) -> bool:
        """Whether what other engines tell is heard."""
        return self._listening is not None

    async def listen(self, *, serves: bool = False) -> None:
        """Hear from now on what other engines tell; SQLite's tell nothing. Who calls while it is begun waits for that.

        Args:
            serves: whether this engine drives what others only asked for.

        Raises:
            StoreError: the server cannot be reached.
        """
        async with self._beginning:
            if self.dialect != "postgresql" or self._listening is not None or self._closed:
                return
            self._listening = listening = Listening(self.engine, self.name, self._heard, serves)
            try:
                await listening.begin()
            except TROUBLES as error:
                self._listening = None
                await listening.close()
                raise StoreError(f"the database cannot be listened to now: {said(error)}") from error

    def _heard(self, word: Word) -> None:
        self.feed.hinted |= word.wrote
        self.on_heard(word)

    @property
    def waiting(self) -> int:
        """How many decisions wait to be written."""
        return self._writer.waiting

    @property
    def writer(self) -> Writer:
        """Who writes."""
        return self._writer

    async def commit(self, decision: Decision) -> Verdict:
        """Write a decision with the next batch."""
        return await self._writer.commit(decision)

    async def close(self) -> None:
        """Write what waits, let reads end, and close every connection."""
        self._closed = True
        if self._listening is not None:
            await self._listening.close()
        await self._writer.close()
        await self._cases.close()
        if self._reads:
            # A connection that is out when the pool is disposed of would never be closed.
            self._quiet.clear()
            await self._quiet.wait()
        await dispose(self.engine, self._threads)

    @property
    def overtaken(self) -> bool:
        """Whether others have written since figures were last right; `follow` and `refresh` clear it."""
        return self.feed.overtaken

    def _wrote(self, decisions: Sequence[Decision], written: Written) -> None:
        self.feed.wrote(written.left_head)
        if self.observer is not None:
            self.observer.told(decisions, written)
        self.on_written()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        """Reads; on PostgreSQL each is of its own moment, and no transaction is begun and ended around it: two round
        trips for nothing."""
        if self._closed:
            raise EngineClosed("the engine is closed; open it again")
        self._reads += 1
        try:
            async with self.engine.connect() as connection:
                if self.dialect == "postgresql":
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection
        except TROUBLES as error:
            raise StoreError(f"the database cannot be read now: {said(error)}") from error
        finally:
            self._reads -= 1
            if not self._reads:
                self._quiet.set()

    async def read_between(self, then: Callable[..., None], *asked: Select[Any]) -> None:
        """Run reads between two commits of ours: they see all that was acknowledged, and nothing in flight.

        `then` is told what they found before the next commit begins.
        """
        await self._writer.between(lambda database: self._read(database, then, asked))

    async def run_alone(self, sql: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Run one statement between two commits of ours, as a transaction of its own; the rows that it returns.

        Raises:
            StoreError: it cannot be run now.
        """

        async def once() -> Sequence[Sequence[Any]]:
            found: Sequence[Sequence[Any]] = await self._writer.between(lambda database: database.read(sql, values))
            return found

        return await self.conflicts.again(once)

    async def refresh(self, then: Callable[..., None], *asked: Select[Any]) -> None:
        """Like `read_between`; what is handed in afterwards counts as decided on these figures, all else on older."""

        async def work(database: Database) -> None:
            [[head]] = await database.read(self._spoken(queries.journal_head()))
            await self._read(database, then, asked)
            self.feed.caught_up(head)
            self._writer.outdate()

        await self._writer.between(work)

    async def follow(self, then: Callable[[News], None]) -> bool:
        """Hand over what others have written since figures were last right; what is handed in afterwards counts as
        decided on these figures, all else on older.

        Returns:
            False: that cannot be told by the journal; figures must be read as a whole (`refresh`).
        """

        async def work(database: Database) -> bool:
            query = self.feed.query()
            news = None if query is None else self.feed.news(await database.read(*query))
            if news is None:
                return False
            if news.moved or news.cloud:
                self._writer.outdate()
            then(news)
            self.feed.caught_up(news.head)
            return True

        followed: bool = await self._writer.between(work)
        return followed

    async def _read(self, database: Database, then: Callable[..., None], asked: Sequence[Select[Any]]) -> None:
        then(*[await database.read(self._spoken(query)) for query in asked])

    async def locked_read(self, query: Select[Any]) -> Sequence[Sequence[Any]]:
        """Run a read once every transaction that is writing now, ours or not, has ended."""
        sql = self._spoken(query)
        found: Sequence[Sequence[Any]] = await self._writer.between(lambda database: database.locked_read(sql))
        return found

    def _spoken(self, query: Select[Any]) -> str:
        return str(query.compile(dialect=self.engine.dialect, compile_kwargs={"literal_binds": True}))

    async def put(self, rows: Rows, actor: str = OURS, word: Word | None = None) -> None:
        """Write rows of tables that are no machine's, in one transaction, replacing those with the same key.

        Args:
            actor: who changes the cloud; places are written together with their journal rows.
            word: is told with it.

        Raises:
            InvalidRequest: a constraint refuses one of them, such as a total below what is held.
        """
        if rows.keys() & PLACES.keys():
            await self.put_after(lambda places: rows, (), actor)
            return

        async def work(connection: AsyncConnection) -> None:
            for name, plain in rows.items():
                await connection.run_sync(cloud.upsert, name, plain)

        await self.write(work, word)

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]], word: Word | None = None) -> T:
        """Write what is no machine's, in a transaction of its own; once more, if it met another one in a deadlock.

        Args:
            word: is told with it.

        Raises:
            InvalidRequest: a constraint refuses it.
            StoreError: it cannot be written now.
        """
        return await self._repeatedly(self._writing, work, word)

    async def _repeatedly(
        self,
        transaction: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        work: Callable[[AsyncConnection], Awaitable[T]],
        word: Word | None,
    ) -> T:
        async def once() -> T:
            async with transaction() as connection:
                found = await work(connection)
                await self.tell(connection, word)
                return found

        return await self.conflicts.again(once)

    async def tell(self, connection: AsyncConnection, word: Word | None) -> None:
        """Have other engines hear a word when the connection's transaction has committed."""
        if word is not None and self.dialect == "postgresql":
            await connection.exec_driver_sql(telling(msgspec.structs.replace(word, by=self.name)))

    async def put_after(
        self,
        made: Callable[[dict[str, list[Place]]], Rows],
        tables: Collection[str] = tuple(PLACES),
        actor: str = OURS,
    ) -> None:
        """Like `put`, of what `made` makes of the places there are. Nobody writes between its reading and its writing.

        `tables`: those of which it is told.

        Raises:
            InvalidRequest: a constraint refuses one of them, or `made` does.
        """

        async def work(connection: AsyncConnection) -> Advanced:
            there = await connection.run_sync(cloud.places, tables)
            return await connection.run_sync(cloud.write, made(there), there, _by(actor))

        self._advanced(await self._write_cloud(work))

    async def remove(self, name: str, row_id: str, actor: str = OURS) -> bool:
        """Remove a place; returns whether it was there."""

        async def work(connection: AsyncConnection) -> Advanced | None:
            return await connection.run_sync(cloud.remove, name, row_id, _by(actor))

        advanced = await self._write_cloud(work)
        if advanced is not None:
            self._advanced(advanced)
        return advanced is not None

    async def _write_cloud(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await self._repeatedly(self.locked, work, Word(wrote=True, cloud=True))

    def _advanced(self, written: Advanced) -> None:
        """Rows of the cloud move no figures: what was up to date before them still is."""
        if written.left_head == written.found_head:
            return
        if self.feed.head == written.found_head:
            self.feed.wrote(written.left_head)
        self.on_written()

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that excludes every other writer from its beginning on.

        Raises:
            StoreError: the database cannot be written now.
        """
        async with self._writing() as connection:
            if self.dialect == "postgresql":
                # Under a stricter default all would be read as it was before the lock was waited for.
                await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            await take_lock(connection)
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction beside the group commit, for what is no machine's."""
        try:
            async with self.engine.begin() as connection:
                yield connection
        except IntegrityError as error:
            held = why(str(error.orig)) is Why.ROOM
            hint = "; more is held of it than that: move or destroy VMs first" if held else ""
            raise InvalidRequest(f"the database refuses this: {error.orig}{hint}") from error
        except TROUBLES as error:
            raise StoreError(f"the database cannot be written now: {said(error)}") from error


def _by(actor: str) -> Author:
    return Author(at=now(), operation_id=None, actor=actor)
