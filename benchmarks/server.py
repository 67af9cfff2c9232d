"""A PostgreSQL of the benchmark's own, made from the machine's binaries and gone with it, or one that is named.

Promises: databases that are made here are dropped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import asyncpg
from sqlalchemy.engine import make_url

from benchmarks.command import Missing
from interlock import CloudDescription
from interlock.embed.loading import write_described
from interlock.engine.store.store import Store
from tests.postgres import NotInstalled, Server

SETTINGS = ("autovacuum=on", "max_connections=300", "shared_buffers=256MB")
"""Beside those of the tests' servers, among them fsync=on: as one would run it."""


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """The URL of a server's own database, in which others can be made.

    Raises:
        Missing: no server is named, and this machine has none.
    """
    if url is not None:
        yield url
        return
    try:
        begun = Server.begin(*SETTINGS)
    except NotInstalled as reason:
        raise Missing(str(reason)) from reason
    try:
        yield begun.url("postgres")
    finally:
        begun.end()


@asynccontextmanager
async def database(server_url: str, model: str | None = None) -> AsyncIterator[str]:
    """The URL of a new database: empty, or a copy of one that nobody is connected to."""
    name = f"bench_{uuid4().hex}"
    template = "" if model is None else f" TEMPLATE {make_url(model).database}"
    await run(server_url, f"CREATE DATABASE {name}{template}")
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        await run(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def describe(url: str, cloud: CloudDescription) -> None:
    """Make the tables, and write a cloud; nobody is connected afterwards."""
    store = await Store.open(url)
    try:
        await write_described(cloud, store)
    finally:
        await store.close()


async def run(url: str, sql: str) -> None:
    """One statement on a connection of its own."""
    connection = await connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def connect(url: str) -> asyncpg.Connection:
    """A bare connection."""
    parsed = make_url(url)
    connection: asyncpg.Connection = await asyncpg.connect(
        host=parsed.query.get("host") or parsed.host,
        port=parsed.port,
        user=parsed.username,
        password=parsed.password,
        database=parsed.database,
    )
    return connection
