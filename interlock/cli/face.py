"""What every command is given: which database, where words go, and ways to open the engine.

`command` makes a click command of an async function: it adds `--db` and `--json` (also taken before the command's
name), runs the function on an event loop of its own, and hands back its exit code.
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.exits import Exit
from interlock.cli.output import Out, note

if TYPE_CHECKING:
    from interlock.embed.cloud import CloudDescription
    from interlock.embed.engine import Engine

DATABASE = "interlock.db"

DB_HELP = f"SQLite file or SQLAlchemy URL.  [env: INTERLOCK_DB; default: {DATABASE}]"
JSON_HELP = "Write JSON to standard output."

Work = Callable[..., Coroutine[Any, Any, Exit]]


class Face:
    """One command's settings."""

    def __init__(self, db: str, out: Out) -> None:
        self.db = db
        self.out = out

    @property
    def shown_db(self) -> str:
        """The database's name without its password."""
        if "://" not in self.db:
            return self.db
        from sqlalchemy.engine import make_url

        return make_url(self.db).render_as_string()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Engine]:
        """An engine that makes no database and takes nothing over."""
        async with self._opened(create=False, recover=False) as engine:
            yield engine

    @asynccontextmanager
    async def acting(self, cloud: CloudDescription | None = None) -> AsyncIterator[Engine]:
        """An engine that takes over what no living engine drives; with a cloud to load it may make the database."""
        async with self._opened(create=cloud is not None, recover=True, cloud=cloud) as engine:
            yield engine

    @asynccontextmanager
    async def _opened(
        self, *, create: bool, recover: bool, cloud: CloudDescription | None = None
    ) -> AsyncIterator[Engine]:
        from interlock.cli.running import whole
        from interlock.embed.engine import Engine

        with engine_heard():
            async with AsyncExitStack() as stack:
                opening = Engine.open(self.db, create=create, recover=recover, cloud=cloud, actor=actor())
                # A connection that is cancelled while it is made leaves a thread that complains when the loop is gone.
                yield await whole(stack.enter_async_context(opening))


def actor() -> str:
    """Who asks, for the journal: `cli:NAME`."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def command(name: str) -> Callable[[Work], click.Command]:
    """Make a command of an async function whose first argument is a `Face`."""

    def made(work: Work) -> click.Command:
        @click.pass_context
        def invoke(context: click.Context, /, db: str | None, **arguments: Any) -> Exit:
            from interlock.cli.running import run

            face = Face(db or context.find_root().params["db"] or DATABASE, context.find_object(Out) or Out())
            return run(work(face, **arguments))

        options = (
            click.Option(["--db"], metavar="DB", help=DB_HELP),
            # Heard by `main`, for errors in what stands before it, too.
            click.Option(["--json"], is_flag=True, expose_value=False, help=JSON_HELP),
        )
        decorated: click.Command = click.command(name)(functools.update_wrapper(invoke, work))
        decorated.params += options
        return decorated

    return made


@contextmanager
def engine_heard() -> Iterator[None]:
    """Have the engine's troubles said like ours, one line each: tracebacks are for those who embed it."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(_in_words(record.getMessage()))

    log, said = logging.getLogger("interlock"), Said(logging.WARNING)
    log.addHandler(said)
    try:
        yield
    finally:
        log.removeHandler(said)


def _in_words(logged: str) -> str:
    """`event='it broke' vm='web' exception='Traceback…\\nOSError: gone'` as `it broke (vm='web'): OSError: gone`."""
    what, _, trace = logged.partition(" exception=")
    found = re.match(r"event=(['\"])(?P<event>.*?)\1 ?(?P<about>.*)", what)
    words = found["event"] + (f" ({found['about']})" if found["about"] else "") if found else what
    error = trace.strip("'\"").rpartition("\\n")[2]
    return f"{words}: {error}" if error else words
