"""What all tests share: databases of both kinds, each fresh.

`database_url` is a current database without a cloud, `cloud_url` one with the tiny cloud of `clerk.py`, `empty_url`
holds nothing at all, `lived_url` one where two VMs run; each test that takes one runs on SQLite and on PostgreSQL. They
are copies of databases that are made once a session.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import pytest
from hypothesis import settings

from interlock.engine.store.store import Store
from tests.bare import bare, sqlite_url
from tests.clerk import clerk, tiny
from tests.guest_image import GuestImage, guest_image
from tests.hand import Hand
from tests.libvirtd import Libvirtd
from tests.postgres import NotInstalled, Server, absent

# How long an example takes says nothing here: other workers share the machine.
settings.register_profile("interlock", deadline=None)
settings.load_profile("interlock")

DIALECTS = ("sqlite", "postgresql")
MODELS = ("current", "cloud", "lived")
"""The databases that others are copies of."""

LIVING = ("web", "two")
"""The VMs that run in the last of them."""

Copy: TypeAlias = Callable[[str | None], AbstractAsyncContextManager[str]]


@pytest.fixture(autouse=True)
def _nothing_global_is_left() -> Iterator[None]:
    """A test that leaves logging configured would make another one fail, that prints what is in the documents."""
    yield
    structlog = sys.modules.get("structlog")
    assert structlog is None or not structlog.is_configured(), "call structlog.reset_defaults() in the end"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The PostgreSQL of this session."""
    try:
        begun = Server.begin()
    except NotInstalled as reason:
        absent(str(reason))
        raise
    try:
        for name in MODELS:
            asyncio.run(_make(begun, name))
        yield begun
    finally:
        begun.end()


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    """The libvirtd of this session."""
    try:
        begun = Libvirtd.begin()
    except NotInstalled as reason:
        absent(str(reason))
        raise
    try:
        yield begun
    finally:
        begun.end()


@pytest.fixture(scope="session")
def image() -> GuestImage:
    """What the guests of this session boot."""
    try:
        return guest_image()
    except NotInstalled as reason:
        absent(str(reason))
        raise


async def _make(server: Server, name: str) -> None:
    async with bare(server.url("postgres")) as admin:
        await admin.run(f"CREATE DATABASE model_{name}")
    await _furnish(server.url(f"model_{name}"), name)


async def _furnish(url: str, name: str) -> None:
    store = await Store.open(url)
    if name != "current":
        await store.put(tiny().rows())
    await store.close()
    if name == "lived":
        async with clerk(url) as writer:
            for vm in LIVING:
                await writer.deploy(vm)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the SQLite models."""
    folder = tmp_path_factory.mktemp("models")
    for name in MODELS:
        asyncio.run(_furnish(sqlite_url(folder / name), name))
    return folder


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Each of the two in turn."""
    return str(request.param)


@pytest.fixture
def copy(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    """Makes fresh databases: `async with copy("cloud") as url`; with None, one that holds nothing at all."""
    if dialect == "sqlite":
        return partial(copied_file, request.getfixturevalue("files"), tmp_path)
    return partial(copied_database, request.getfixturevalue("server"))


@asynccontextmanager
async def copied_file(models: Path, folder: Path, model: str | None) -> AsyncIterator[str]:
    """A fresh SQLite database."""
    path = folder / f"{uuid4().hex}.db"
    if model:
        shutil.copyfile(models / model, path)
    yield sqlite_url(path)


@asynccontextmanager
async def copied_database(server: Server, model: str | None) -> AsyncIterator[str]:
    """A fresh PostgreSQL database."""
    name = f"test_{uuid4().hex}"
    async with bare(server.url("postgres")) as admin:
        await admin.run(f"CREATE DATABASE {name}" + (f" TEMPLATE model_{model}" if model else ""))
    yield server.url(name)
    async with bare(server.url("postgres")) as admin:
        await admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_url(copy: Copy) -> AsyncIterator[str]:
    """A database with nothing in it; the SQLite file is not there yet."""
    async with copy(None) as url:
        yield url


@pytest.fixture
async def database_url(copy: Copy) -> AsyncIterator[str]:
    """A current database without a cloud."""
    async with copy("current") as url:
        yield url


@pytest.fixture
async def cloud_url(copy: Copy) -> AsyncIterator[str]:
    """A current database with the tiny cloud."""
    async with copy("cloud") as url:
        yield url


@pytest.fixture
async def lived_url(copy: Copy) -> AsyncIterator[str]:
    """A current database with the tiny cloud, where the VMs `web` and `two` run."""
    async with copy("lived") as url:
        yield url


@pytest.fixture
async def hand(lived_url: str) -> AsyncIterator[Hand]:
    """A hand on a database where the VMs `web` and `two` run."""
    async with bare(lived_url) as database:
        yield Hand(database)
