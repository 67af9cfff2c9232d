"""What all commands that list have in common: how much is shown, from where on, and the last line that says how to go
on. Nothing is left out without a word: where no terminal is, it goes to standard error.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interlock.cli import layout
from interlock.cli.output import Out, note

if TYPE_CHECKING:
    from interlock.engine.store.walks import Order

PAGE = 500
"""Entries read at once. Too low: many reads; too high: memory."""
SHOWN = 1000
"""Entries shown unless `--limit` says otherwise. Too few: one goes on and on; too many: they run off the screen."""

T = TypeVar("T")
Fetch = Callable[[str | None, int], Awaitable[tuple[list[T], str | None]]]
"""Reads a page: after what, and how many."""


def paged(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a list."""

    def add(work: Callable[..., Any]) -> Callable[..., Any]:
        after = click.option("--after", metavar="KEY", help="Go on behind this key: where the list before ended.")
        limit = click.option(
            "--limit",
            metavar="N",
            type=click.IntRange(min=0),
            default=SHOWN,
            show_default=True,
            help=f"At most so many {what}; 0: all.",
        )
        return limit(after(work))

    return add


def order_of(prefix: str | None, youngest: bool) -> Order:
    """By name where names are looked for by how they begin, else by age."""
    return "name" if prefix is not None else "youngest" if youngest else "oldest"


async def collected(fetch: Fetch[T], after: str | None, limit: int) -> tuple[list[T], str | None]:
    """As many entries as are wanted, and behind which key the list goes on; None: it ends.

    Args:
        limit: 0: all.
    """
    found: list[T] = []
    while True:
        rows, after = await fetch(after, min(PAGE, limit - len(found)) if limit else PAGE)
        found += rows
        if after is None or len(found) == limit:
            return found, after


def tell_more(out: Out, after: str | None) -> None:
    """How the list goes on, if it does."""
    if after is None:
        return
    words = f"there are more: add --after {shlex.quote(after)}, or --limit 0 for all"
    if out.terminal:
        out.line([(words, layout.DIM)])
    else:
        out.flush()
        note(words)


def given(**filters: Any) -> list[str]:
    """The names of the filters that are used, as options."""
    return [f"--{name.replace('_', '-')}" for name, value in filters.items() if value]


def not_with_count(names: list[str], allowed: tuple[str, ...]) -> None:
    """Refuse filters by which nobody counts.

    Raises:
        UsageError: there is one.
    """
    if wrong := [name for name in names if name not in allowed]:
        raise click.UsageError(f"--count goes with {', '.join(allowed)} only, not with {', '.join(wrong)}")
