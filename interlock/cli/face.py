"""What every command is given: which database, where words go, and ways to open the engine.

`command` makes a click command of an async function: it adds `--db` and `--json` (also taken before the command's
name) and, where operations are asked for, `--as`; runs the function on an event loop of its own, and hands back its
exit code. `group` does the same for a command that has commands beneath it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.exits import Exit
from interlock.cli.output import Out, note

if TYPE_CHECKING:
    from interlock.embed.cloud import CloudDescription
    from interlock.embed.engine import Engine
    from interlock.engine.observer import Observer

DATABASE = "interlock.db"

DB_HELP = f"SQLite file or SQLAlchemy URL.  [env: INTERLOCK_DB; default: {DATABASE}]"
JSON_HELP = "Write JSON to standard output."
BY_WORKERS_HELP = "Have workers (`interlock worker`) do it, and wait for them."
AS_HELP = "Ask on this account's rights; otherwise on the operator's."

Work = Callable[..., Coroutine[Any, Any, Exit]]


class Face:
    """One command's settings."""

    def __init__(self, db: str, out: Out, caller: str | None = None, by_workers: bool = False) -> None:
        self.db = db
        self.out = out
        self.caller = caller
        """The account on whose rights it asks; None: the operator's."""
        self._by_workers = by_workers

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
    async def acting(self, cloud: CloudDescription | None = None, *, listens: bool = True) -> AsyncIterator[Engine]:
        """An engine that takes over what no living engine drives, or with `--by-workers` only asks; with a cloud to
        load it may make the database."""
        part = {"drives": not self._by_workers}
        async with self._opened(create=cloud is not None, recover=True, cloud=cloud, listens=listens, **part) as engine:
            yield engine

    @asynccontextmanager
    async def serving(self, in_flight: int | None, observers: Sequence[Observer] = ()) -> AsyncIterator[Engine]:
        """An engine that drives what others ask for."""
        part: dict[str, Any] = {"serves": True, "in_flight": in_flight, "observers": observers}
        async with self._opened(create=False, recover=True, listens=True, **part) as engine:
            yield engine

    @asynccontextmanager
    async def _opened(
        self,
        *,
        create: bool,
        recover: bool,
        cloud: CloudDescription | None = None,
        listens: bool = False,
        **part: Any,
    ) -> AsyncIterator[Engine]:
        from interlock.cli.running import whole
        from interlock.embed.engine import Engine

        with engine_heard():
            async with AsyncExitStack() as stack:
                opening = Engine.open(
                    self.db, create=create, recover=recover, listen=listens, cloud=cloud, actor=actor(), **part
                )
                # A connection that is cancelled while it is made leaves a thread that complains when the loop is gone.
                yield await whole(stack.enter_async_context(opening))


def actor() -> str:
    """Who asks, for the journal: `cli:NAME`."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def command(name: str, *, asks: bool = False) -> Callable[[Work], click.Command]:
    """Make a command of an async function whose first argument is a `Face`.

    Args:
        asks: it asks for operations, and takes `--as`, on whose rights, and `--by-workers`.
    """

    def made(work: Work) -> click.Command:
        decorated: click.Command = click.command(name)(_invoking(work))
        decorated.params += _options(asks)
        return decorated

    return made


def group(name: str) -> Callable[[Work], click.Group]:
    """Make a group of commands of an async function that runs when none of them is named."""

    def made(work: Work) -> click.Group:
        decorated: click.Group = click.group(name, invoke_without_command=True)(_invoking(work))
        decorated.params += _options(asks=False)
        return decorated

    return made


def _invoking(work: Work) -> Callable[..., Exit | None]:
    @click.pass_context
    def invoke(context: click.Context, /, **arguments: Any) -> Exit | None:
        from interlock.cli.running import run

        if context.invoked_subcommand is not None:
            return None
        named = {key: value for key, value in arguments.items() if key not in ("db", "caller", "by_workers")}
        out = context.find_object(Out) or Out()
        face = Face(_database(context), out, arguments.get("caller"), bool(arguments.get("by_workers")))
        return run(work(face, **named))

    return functools.update_wrapper(invoke, work)


def _database(context: click.Context | None) -> str:
    """Where it is named nearest to the command; else here."""
    while context is not None:
        if named := context.params.get("db"):
            return str(named)
        context = context.parent
    return DATABASE


def _options(asks: bool) -> list[click.Parameter]:
    options = [
        click.Option(["--db"], metavar="DB", help=DB_HELP),
        # Heard by `main`, for errors in what stands before it, too.
        click.Option(["--json"], is_flag=True, expose_value=False, help=JSON_HELP),
    ]
    asking = [
        click.Option(["--as", "caller"], metavar="ACCOUNT", help=AS_HELP),
        click.Option(["--by-workers"], is_flag=True, help=BY_WORKERS_HELP),
    ]
    return [*(asking if asks else []), *options]


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
