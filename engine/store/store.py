"""The store's face: open, commit, read.

Promises: an acknowledged commit survives power loss (SQLite: WAL, synchronous=FULL). The store keeps no state of
entities. It tells the engine when others have written, so that figures kept in memory can be read again. It runs no
SQL unless asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import msgspec
from sqlalchemy import Select, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from interlock.engine.core.chronicle import Places
from interlock.engine.core.decision import Author, Decision
from interlock.engine.observer import Observers
from interlock.engine.orchestrator.clock import now
from interlock.engine.store import cloud, queries
from interlock.engine.store.cases import Case, Cases
from interlock.engine.store.cloud import Advanced, Rows
from interlock.engine.store.commit import Counters, Written
from interlock.engine.store.conflicts import Conflicts
from interlock.engine.store.database import Database
from interlock.engine.store.feed import Feed, News
from interlock.engine.store.joined import take_lock
from interlock.engine.store.listening import Listening, Word, telling
from interlock.engine.store.migrate import bring_up_to_date
from interlock.engine.store.postgresql import Postgresql, limit_idling
from interlock.engine.store.snapshot import Snapshot
from interlock.engine.store.sqlite import Sqlite, Threads, connect
from interlock.engine.store.statements import statements
from interlock.engine.store.verdict import Verdict, Why, why
from interlock.engine.store.writer import Writer
from interlock.schema.cloud import PLACES, Place, SecurityGroup, SettingValue
from interlock.schema.errors import EngineClosed, InvalidRequest, NotFound, StoreError
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.rows import reader
from interlock.schema.transition import OURS, Transition

T = TypeVar("T")

BUSY_SECONDS = 10.0
"""How long SQLite waits for another process's write lock. Too low: needless errors; too high: a stuck one is hidden."""

JOIN_SECONDS = 5.0
"""How long closing waits for a connection's thread that has been told to end. Only a defect takes any time at all."""

_TROUBLES = (DBAPIError, PoolTimeout, OSError)
"""What says that the database, or the way to it, is at fault."""

_readers: dict[type, Callable[[Sequence[Any]], Any]] = {
    kind: reader(kind) for kind in (Vm, Nic, Volume, Operation, *PLACES.values())
}


class Store:
    """One open database. Make it with `Store.open`."""

    def __init__(
        self, engine: AsyncEngine, database: Database, threads: Threads, name: str, conflicts: Conflicts
    ) -> None:
        self.engine = engine
        self.name = name
        """What tells this open database from others in what engines tell each other."""
        self.conflicts = conflicts
        """What was given up because of others, and asked again."""
        self.on_heard: Callable[[Word], None] = lambda word: None
        """Told what other engines tell; see `listen`."""
        self._listening: Listening | None = None
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
        self._cases = Cases(self._reading)

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
            _must_be_possible(Path(parsed.database or ""), create)
        threads: Threads = WeakSet()
        engine = _engine(parsed, threads)
        try:
            await bring_up_to_date(engine, create=create)
            name, conflicts = secrets.token_hex(4), Conflicts()
            return cls(engine, await _database(engine, name, conflicts), threads, name, conflicts)
        except _TROUBLES as error:
            await _dispose(engine, threads)
            raise StoreError(f"cannot open {parsed.render_as_string()}: {_said(error)}") from error
        except BaseException:
            await _dispose(engine, threads)
            raise

    @property
    def counters(self) -> Counters:
        """What the commit path has cost so far."""
        return self._writer.database.counters

    @property
    def dialect(self) -> str:
        """sqlite or postgresql."""
        return self.engine.dialect.name

    @property
    def listens(self) -> bool:
        """Whether what other engines tell is heard."""
        return self._listening is not None

    async def listen(self, *, serves: bool = False) -> None:
        """Hear from now on what other engines tell; SQLite's tell nothing.

        Args:
            serves: whether this engine drives what others only asked for.

        Raises:
            StoreError: the server cannot be reached.
        """
        if self.dialect != "postgresql" or self._listening is not None or self._closed:
            return
        self._listening = listening = Listening(self.engine, self.name, self._heard, serves)
        try:
            await listening.begin()
        except _TROUBLES as error:
            self._listening = None
            await listening.close()
            raise StoreError(f"the database cannot be listened to now: {_said(error)}") from error

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
        await _dispose(self.engine, self._threads)

    @property
    def overtaken(self) -> bool:
        """Whether others have written since figures were last right; `follow` and `refresh` clear it."""
        return self.feed.overtaken

    def _wrote(self, decisions: Sequence[Decision], written: Written) -> None:
        self.feed.wrote(written.left_head)
        if self.observer is not None:
            self.observer.told(decisions, written)
        self.on_written()

    async def rows(self, query: Select[Any]) -> Sequence[Any]:
        """Run a read.

        Raises:
            StoreError: the database cannot be read now.
            EngineClosed: too late.
        """
        async with self._reading() as connection:
            found: Sequence[Any] = (await connection.execute(query)).all()
            return found

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads."""
        if self._closed:
            raise EngineClosed("the engine is closed; open it again")
        self._reads += 1
        try:
            async with self.engine.connect() as connection:
                yield connection
        except _TROUBLES as error:
            raise StoreError(f"the database cannot be read now: {_said(error)}") from error
        finally:
            self._reads -= 1
            if not self._reads:
                self._quiet.set()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Reads of one moment. On SQLite the file grows while it is open and others write.

        Raises:
            StoreError: the database cannot be read now.
        """
        async with self._reading() as connection:
            if self.dialect == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield Snapshot(connection)

    async def case(self, operation_id: str) -> Case:
        """An operation with its VM, what of it still lives, and its volume; see `cases.py`."""
        return await self._cases.of_operation(operation_id)

    async def subject(self, vm_id: str | None, volume_id: str | None) -> Case:
        """What a request or an operation is about: a VM, a volume with the VM it belongs to, or both."""
        return await self._cases.of_subject(vm_id, volume_id)

    async def owners(self, vm_id: str | None, volume_id: str | None) -> Sequence[Operation]:
        """The operations that own a VM or a volume, at most one each."""
        return await self._cases.owners(vm_id, volume_id)

    async def operation(self, operation_id: str) -> Operation:
        """One operation.

        Raises:
            NotFound: there is none of that id.
        """
        rows = await self.rows(queries.entity("operation", operation_id))
        if not rows:
            raise NotFound(f"there is no operation {operation_id!r}")
        found: Operation = _readers[Operation](rows[0])
        return found

    async def groups(self, query: Select[Any]) -> list[SecurityGroup]:
        """The security groups that a query of their columns finds."""
        return list(map(_readers[SecurityGroup], await self.rows(query)))

    async def operations(self, query: Select[Any]) -> list[Operation]:
        """The operations a query of `queries` finds."""
        return list(map(_readers[Operation], await self.rows(query)))

    async def vms(self, query: Select[Any]) -> list[Vm]:
        """The VMs a query of `queries` finds."""
        return list(map(_readers[Vm], await self.rows(query)))

    async def nics(self, vm_id: str) -> list[Nic]:
        """All NICs a VM has or had."""
        return list(map(_readers[Nic], await self.rows(queries.belonging("nic", vm_id))))

    async def nics_of(self, vm_ids: Sequence[str]) -> list[Nic]:
        """All NICs that several VMs (a page of them) have or had, in one read."""
        return list(map(_readers[Nic], await self.rows(queries.nics_of(vm_ids))))

    async def volumes(self, vm_id: str) -> list[Volume]:
        """All volumes a VM has or had."""
        return list(map(_readers[Volume], await self.rows(queries.belonging("volume", vm_id))))

    async def disks(self, query: Select[Any]) -> list[Volume]:
        """The volumes a query of `queries` finds."""
        return list(map(_readers[Volume], await self.rows(query)))

    async def journal(self, query: Select[Any]) -> list[Transition]:
        """The journal rows a query of `queries` finds."""
        return [Transition(**row._mapping) for row in await self.rows(query)]

    async def some_places(self, name: str, query: Select[Any]) -> list[Place]:
        """The places of a kind that a query of their columns finds."""
        return list(map(_readers[PLACES[name]], await self.rows(query)))

    async def places(self) -> dict[str, list[Place]]:
        """All places by kind."""
        async with self._reading() as connection:
            return await connection.run_sync(cloud.places, PLACES)

    async def described(self) -> tuple[Places, dict[str, list[Place]]]:
        """All places as the journal tells them, and as they are in the tables, at one moment.

        Raises:
            JournalBroken: the journal's rows of the cloud do not follow one another.
        """
        async with self._reading() as connection:
            if self.dialect == "postgresql":
                await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return await connection.run_sync(cloud.told), await connection.run_sync(cloud.places, PLACES)

    async def settings(self) -> list[SettingValue]:
        """The settings that are not at their default."""
        return list(map(_readers[SettingValue], await self.rows(queries.all_of("setting"))))

    async def read_between(self, then: Callable[..., None], *asked: Select[Any]) -> None:
        """Run reads between two commits of ours: they see all that was acknowledged, and nothing in flight.

        `then` is told what they found before the next commit begins.
        """
        await self._writer.between(lambda database: self._read(database, then, asked))

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
            news = None if query is None else self.feed.news(await database.read(query))
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

        async def once() -> T:
            async with self._writing() as connection:
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
        async def once() -> T:
            async with self.locked() as connection:
                found = await work(connection)
                await self.tell(connection, Word(wrote=True, cloud=True))
                return found

        return await self.conflicts.again(once)

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
        except _TROUBLES as error:
            raise StoreError(f"the database cannot be written now: {_said(error)}") from error


def _by(actor: str) -> Author:
    return Author(at=now(), operation_id=None, actor=actor)


def _said(error: Exception) -> object:
    """The driver's own words, without the statement around them."""
    return getattr(error, "orig", error)


def normal(url: str) -> URL:
    """The URL with the async driver filled in; a bare path is a SQLite file.

    Raises:
        StoreError: it is none, or of a database that Interlock does not speak.
    """
    try:
        # A bare path is taken as it is: a ? or % in it is part of a file's name.
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except ArgumentError as error:
        raise StoreError(f"{url!r} is not a database URL; use a path, sqlite:///PATH or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+asyncpg")
    if backend != "sqlite":
        raise StoreError(f"Interlock speaks SQLite and PostgreSQL, not {backend}")
    if parsed.query:
        raise StoreError(f"SQLite URLs of Interlock take no options, not {', '.join(parsed.query)}")
    if parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "an in-memory SQLite database is lost with its connection; give a file, a temporary one will do"
        )
    return parsed.set(drivername="sqlite+aiosqlite")


def _must_be_possible(path: Path, create: bool) -> None:
    """Say in words what SQLite would call "unable to open database file"."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder; name a file in it")
    if not path.exists() and not create:
        raise StoreError(f"there is no database {path}; make one with `interlock init CLOUD.toml`")
    if not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} is not there; make it first")


async def _dispose(engine: AsyncEngine, threads: Threads) -> None:
    """Close all connections, and see their threads end: they have nothing left to do, so that takes no time."""
    await engine.dispose()
    for thread in list(threads):
        thread.join(JOIN_SECONDS)


def _engine(url: URL, threads: Threads) -> AsyncEngine:
    try:
        if url.get_backend_name() == "sqlite":
            # The one that was used last is used next: what each keeps of the file is then kept once, not five times.
            engine = create_async_engine(
                url, async_creator=lambda: connect(url, BUSY_SECONDS, threads), pool_use_lifo=True
            )
            event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
            return engine
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", limit_idling)
        event.listen(engine.sync_engine, "checkout", _replace_if_cut)
        return engine
    except NoSuchModuleError as error:
        raise StoreError(str(error)) from error


def _replace_if_cut(_connection: Any, record: Any, _proxy: Any) -> None:
    # A server that went away has closed what lay in the pool; asking the driver costs no round trip.
    if record.driver_connection.is_closed():
        raise DisconnectionError("the server has closed this connection")


async def _database(engine: AsyncEngine, name: str, conflicts: Conflicts) -> Database:
    compiled = statements(engine.dialect.name)
    if engine.dialect.name == "postgresql":
        return Postgresql(engine, compiled, name, conflicts)
    return await Sqlite.open(engine, compiled)
