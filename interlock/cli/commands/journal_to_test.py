"""journal to-test: a piece of the journal, shrunk to what it takes, as a pytest that runs by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.commands.replay_history import history
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.output import note

if TYPE_CHECKING:
    from interlock.replay.to_test import Shrunk

END = 2**63
"""Behind every row."""


@command("to-test")
@click.argument("source", required=False, metavar="[FILE]")
@click.option("--vm", "name", metavar="NAME", help="What was told about this VM. NAME may be an id.")
@click.option("--from", "first", type=int, default=1, metavar="SEQ", help="What was told about VMs from there on.")
@click.option("--to", "last", type=int, metavar="SEQ", help="Up to there.  [default: the end]")
@click.option("--predicate", required=True, metavar="WORDS", help="What should hold at the end, and does not.")
@click.option("--pin", is_flag=True, help="Have the test pass for as long as all is as recorded.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to.  [default: standard output]")
async def to_test(
    face: Face,
    source: str | None,
    name: str | None,
    first: int,
    last: int | None,
    predicate: str,
    pin: bool,
    out: Path | None,
) -> Exit:
    """Write a test from a piece of the journal: the shortest story that ends with the predicate broken.

    The predicate is in the words of `interlock bisect`, such as "vm web is not Error", or MODULE:FUNCTION, which is
    given the fleet. The test fails until it is mended; with --pin it passes until it changes.
    """
    from interlock.replay.excerpt import Excerpt
    from interlock.replay.to_test import shrunk
    from interlock.replay.to_test import source as written
    from interlock.schema.errors import NotFound

    where = source or face.db
    async with history(where) as pages:
        excerpt = Excerpt(last)
        async for page in pages:
            excerpt.add(page)
            if excerpt.is_over:
                break
        excerpt.end()
    vm_ids = excerpt.named(name) if name is not None else None
    if name is not None and not vm_ids:
        raise NotFound(f"the journal has no VM {name!r}")
    if name is None and first > 1:
        vm_ids = excerpt.vms_between(first, last or END)
    found = shrunk(excerpt, vm_ids, predicate)
    text = written(found, _origin(where, name, first, last), pinned=pin)
    if out is None:
        face.out.text(text)
    else:
        _write(out, text)
    _tell(found, out)
    return Exit.OK


def _tell(found: Shrunk, out: Path | None) -> None:
    left = f"{found.events} events shrunk to {len(found.story.steps)}, in a cloud of {len(found.story.places)} places"
    note(f"{left}: {found.seen.said}" + (f"; {out}" if out else ""))
    if not found.scrubbed:
        note("ids are as they were: with others, the story ends otherwise")


def _origin(where: str, name: str | None, first: int, last: int | None) -> str:
    about = f"VM {name}" if name else "all VMs" if first == 1 else f"the VMs of transitions {first} and on"
    until = f" up to transition {last}" if last else ""
    return f"What was told about {about}{until} in {re.sub(r'.*[/@]', '', where)}"


def _write(out: Path, text: str) -> None:
    out.write_text(text, encoding="utf-8")
