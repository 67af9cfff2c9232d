"""Where a round is played: a database and a world that are copies of the fleet's, or not there yet.

Promises: nobody else has them. A place of a round that failed is kept on request, to be looked at.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import msgspec
from sqlalchemy import make_url

from interlock.schema.transition import Transition
from tests.bare import bare, sqlite_url
from tests.killing.diary import Mark
from tests.killing.fleet import furnish
from tests.postgres import Server

MODEL = "model_crash"


class Place(msgspec.Struct, frozen=True):
    """One round's."""

    folder: Path
    url: str

    @property
    def world(self) -> Path:
        """The simulator's file."""
        return self.folder / "world.simulator"

    def note(self, wrongs: Sequence[str], journal: Sequence[Transition], told: Sequence[Sequence[Mark]]) -> None:
        """Leave what there is to say of a round that failed."""
        rows = (f"{row.seq} {row.at} {row}" for row in journal)
        (self.folder / "wrongs").write_text("\n".join(wrongs))
        (self.folder / "journal").write_text("\n".join(rows))
        for number, marks in enumerate(told):
            (self.folder / f"told-{number}").write_text("\n".join(map(str, marks)))


class Ground(Protocol):
    """A kind of database."""

    name: str

    def place(self, name: str, *, fresh: bool) -> Place:
        """Make one; fresh: without a database's tables, and without a world."""
        ...

    def leave(self, place: Place, *, failed: bool) -> None:
        """Remove it; of one where something failed, keep the folder."""
        ...


class SqliteGround:
    """Files, copied."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model = folder / "model"
        self._model.mkdir()
        asyncio.run(furnish(sqlite_url(self._model / "interlock.db"), self._model / "world.simulator"))

    def place(self, name: str, *, fresh: bool) -> Place:
        """See `Ground`."""
        folder = self._folder / name
        if fresh:
            folder.mkdir()
        else:
            shutil.copytree(self._model, folder)
        return Place(folder, sqlite_url(folder / "interlock.db"))

    def leave(self, place: Place, *, failed: bool) -> None:
        """See `Ground`."""
        if not failed:
            shutil.rmtree(place.folder)


class PostgresqlGround:
    """Databases of one server, made from a template."""

    name = "postgresql"

    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        self._folder = folder
        self._world = folder / "model.simulator"
        self._admin(f"CREATE DATABASE {MODEL}")
        asyncio.run(furnish(server.url(MODEL), self._world))

    def place(self, name: str, *, fresh: bool) -> Place:
        """See `Ground`."""
        database = f"round_{uuid4().hex}"
        self._admin(f"CREATE DATABASE {database}" + ("" if fresh else f" TEMPLATE {MODEL}"))
        place = Place(self._folder / name, self.server.url(database))
        place.folder.mkdir()
        if not fresh:
            shutil.copyfile(self._world, place.world)
        return place

    def leave(self, place: Place, *, failed: bool) -> None:
        """See `Ground`."""
        if not failed:
            shutil.rmtree(place.folder)
        self._admin(f"DROP DATABASE {make_url(place.url).database} WITH (FORCE)")

    def settle(self) -> None:
        """Have the server write down what it holds: a crash is got over the sooner."""
        self._admin("CHECKPOINT")

    def _admin(self, sql: str) -> None:
        async def run() -> None:
            async with bare(self.server.url("postgres")) as database:
                await database.run(sql)

        asyncio.run(run())


@contextmanager
def postgresql_ground(folder: Path) -> Iterator[PostgresqlGround]:
    """One with a server of its own, which may be struck."""
    server = Server.begin()
    try:
        yield PostgresqlGround(folder, server)
    finally:
        server.end()
