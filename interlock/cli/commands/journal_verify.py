"""journal verify: whether a journal is true, as far as it can tell. Files, or a database with its tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import BAD, DIM

if TYPE_CHECKING:
    from interlock.engine.core.verify import Finding
    from interlock.replay.verify import Verified

LONG = 16 << 20
"""Bytes above which a file is checked in as many processes as there are cores. Too low: their beginning takes longer
than the check; too high: cores are idle."""


@command("verify")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--jobs", metavar="N", type=click.IntRange(1, 64), help="Processes for a file; by default as it is long.")
async def verify(face: Face, files: tuple[str, ...], jobs: int | None) -> Exit:
    """Check exported journals, or without FILE the database: numbers, hashes, transitions, who owns what, the root.

    Of a database the tables are compared with what the journal makes of them as well. Exits with 1 if something was
    found. FILE may be packed, or - for standard input.
    """
    checked = [(name, await _of_file(name, jobs)) for name in files] or [(face.shown_db, await _of_database(face))]
    if face.out.json:
        face.out.document([{"journal": name, **_fields(verified)} for name, verified in checked])
    else:
        for name, verified in checked:
            _tell(face, name, verified)
    return Exit.FAILED if any(verified.findings for _, verified in checked) else Exit.OK


async def _of_file(name: str, jobs: int | None) -> Verified:
    from interlock.replay.crew import verify_together
    from interlock.replay.source import STDIN, file_at, is_file, store_at
    from interlock.replay.tables import verify_database
    from interlock.replay.verify import verify_file

    if not is_file(name):
        async with store_at(name) as store:
            return await verify_database(store)
    with file_at(name) as file:
        jobs = jobs or ((os.cpu_count() or 1) if os.fstat(file.fileno()).st_size > LONG else 1)
        return verify_file(file) if jobs == 1 or name == STDIN else verify_together(name, jobs)


async def _of_database(face: Face) -> Verified:
    from interlock.replay.source import store_at
    from interlock.replay.tables import verify_database

    async with store_at(face.db) as store:
        return await verify_database(store)


def _fields(verified: Verified) -> dict[str, object]:
    from msgspec.structs import asdict

    return {**asdict(verified), "findings": [asdict(each) for each in verified.findings]}


def _tell(face: Face, name: str, verified: Verified) -> None:
    for each in verified.findings:
        face.out.line([(f"{name}{_line(each)}: ", DIM), (f"{each.flaw}: ", BAD), (", ".join(_words(each)), "")])
    count = len(verified.findings)
    found = "nothing found" if not count else f"{count}{' or more' * verified.more} finding{'s' * (count > 1)}"
    face.out.line([(f"{name}: {verified.count} transitions, ", ""), (found, BAD if count else "green")])
    if not count:
        face.out.line([(f"root {verified.root}", DIM)])


def _line(finding: Finding) -> str:
    return f":{finding.line}" if finding.line is not None else ""


def _words(finding: Finding) -> Iterator[str]:
    if finding.seq is not None:
        yield f"transition {finding.seq}"
    if finding.entity_id is not None:
        yield "the cloud" if finding.entity_id == finding.machine else f"{finding.machine} {finding.entity_id}"
    yield finding.reason
