"""Journals as files: what is written is read again, half a file has no name, old files stay readable."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.core import lines
from interlock.engine.core.rebuild import Rebuild
from interlock.engine.store import files
from interlock.replay.export import export
from interlock.replay.source import opened
from interlock.schema.errors import JournalDamaged, StoreError
from interlock.schema.exported import VERSION, Header, Row, Trailer, json_schema
from interlock.schema.rows import text_of
from interlock.schema.transition import Transition
from tests.command import Shell
from tests.journals import exported, lived
from tests.test_docs import blocks, run

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, st.lists, max_leaves=5)
objects = st.dictionaries(texts, json_values, max_size=4).map(text_of)
transitions = st.builds(
    Transition,
    **dict.fromkeys(("machine", "entity_id", "event", "source", "destination", "actor", "prev", "hash"), texts),
    **{name: st.none() | texts for name in ("vm_id", "operation_id", "cause")},
    **{name: st.integers(0, 2**62) for name in ("seq", "at", "version", "tables")},
    changes=objects,
    ledger=st.lists(json_values, max_size=3).map(text_of),
    detail=st.none() | objects,
)


async def read(source: str) -> list[Transition]:
    async with opened(source) as pages:
        return [row async for page in pages for row in page]


# --- lines


@given(transitions)
def test_a_line_is_its_transition_and_nothing_else(row: Transition) -> None:
    line = lines.line_of(row)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert lines.row_of(line) == row
    assert json.loads(line)["changes"] == json.loads(row.changes)


@given(transitions, st.data())
def test_another_spelling_of_a_line_is_refused(row: Transition, data: st.DataObject) -> None:
    line = lines.line_of(row)
    loose = json.dumps(json.loads(line)).encode() + b"\n"
    assert loose != line
    with pytest.raises(lines.LineBroken):
        lines.row_of(loose)
    at = data.draw(st.sampled_from([1, len(line) - 2, len(line) - 1, len(line)]))
    with pytest.raises(lines.LineBroken):
        lines.row_of(line[:at] + b" " + line[at:])


def test_the_published_schema_is_that_of_the_lines() -> None:
    assert json.loads((ROOT / "docs" / "journal.schema.json").read_text()) == json_schema()
    first, *rows, last = exported(lived()).splitlines()
    assert msgspec.json.decode(first, type=Header, strict=True).version == VERSION
    assert msgspec.json.decode(last, type=Trailer, strict=True).count == len(rows)
    for line in rows:
        fields = msgspec.structs.asdict(msgspec.json.decode(line, type=Row, strict=True))
        assert list(fields) == list(json.loads(line)) == json_schema()["$defs"]["Row"]["required"]


def test_a_newer_version_is_refused_in_words() -> None:
    first, *_ = exported(lived()).splitlines(keepends=True)
    newer = first.replace(b'"version":1', b'"version":2')
    with pytest.raises(lines.LineBroken, match="the file is of version 2, known is 1: read it with a newer release"):
        lines.header_of(newer)


# --- files


@pytest.mark.parametrize("name", ["journal.jsonl", "journal.jsonl.zst", "anything"])
async def test_a_file_gives_the_transitions_back(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(await asyncio.to_thread(exported, lived(), packed=name.endswith("zst")))
    assert tuple(await read(str(file))) == lived()


async def test_a_file_that_another_program_packed_is_read(tmp_path: Path) -> None:
    library = files.zstd()
    plain = await asyncio.to_thread(exported, lived())
    file = tmp_path / "journal.zst"
    file.write_bytes(library.compress(plain[:9000]) + library.compress(plain[9000:]))
    assert tuple(await read(str(file))) == lived()
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(JournalDamaged, match=r"journal.zst, line \d+: it cannot be unpacked"):
        await read(str(file))


@pytest.mark.skipif(not shutil.which("zstd"), reason="the program zstd is not installed")
def test_the_program_zstd_unpacks_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART", 8192)
    packed = exported(lived(), packed=True)
    assert packed.count(files.SKIPPED) > 3
    said = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True)
    assert said.stdout == exported(lived())


@pytest.mark.parametrize("cut", [0, 1, 40, 100, 5000, -1])
async def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    for packed in (False, True):
        whole = await asyncio.to_thread(exported, lived(), packed=packed)
        file = tmp_path / "journal"
        file.write_bytes(whole[:cut])
        with pytest.raises(JournalDamaged, match=r"line \d+: "):
            await read(str(file))


async def test_without_the_library_packed_files_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "journal.zst"
    file.write_bytes(await asyncio.to_thread(exported, lived(), packed=True))
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreError, match=r"install interlock\[zstd\]"):
        await read(str(file))


async def test_what_is_no_journal_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("not a journal\n")
    with pytest.raises(JournalDamaged, match="notes, line 1: it is no header of a journal"):
        await read(str(file))
    with pytest.raises(StoreError, match="gone cannot be read: No such file"):
        await read(str(tmp_path / "gone"))


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    file.write_text("what was there before")
    with pytest.raises(RuntimeError), files.written(file) as write:
        write(b"half")
        assert file.read_text() == "what was there before"
        raise RuntimeError
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("journal", "what was there before")]
    with files.written(file) as write:
        write(b"whole")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("journal", "whole")]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"), files.written(tmp_path / "no" / "journal") as write:
        write(b"")


async def test_writing_takes_pages_one_by_one() -> None:
    """What is written of a page is out of hand before the next is asked for."""
    rows, order = lived(), []

    async def pages() -> AsyncIterator[list[Transition]]:
        for row in rows:
            order.append(f"read {row.seq}")
            yield [row]

    await export(pages(), lambda line: order.append("write"))
    assert order[:5] == ["write", "read 1", "write", "read 2", "write"]
    assert len(order) == 2 * len(rows) + 2


# --- files of earlier days


@pytest.mark.parametrize(
    ("name", "count", "operations"), [("journal-0.2.jsonl.zst", 631, 68), ("journal-1.jsonl", 63, 6)]
)
async def test_journals_of_earlier_releases_are_read(name: str, count: int, operations: int) -> None:
    rows = await read(str(GOLDEN / name))
    rebuilt = Rebuild()
    for row in rows:
        rebuilt.add(row)
    assert len(rows) == count
    assert len(rebuilt.records["operation"]) == operations
    named = {record.steps for record in rebuilt.records["operation"].values()}  # type: ignore[union-attr]
    assert (named == {()}) == ("0.2" in name), "0.2 did not name the steps of operations"


# --- the command


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database with a VM in it."""
    return Shell.with_web(tmp_path)


def test_export_writes_a_file_or_to_a_pipe(shell: Shell, tmp_path: Path) -> None:
    piped = shell("journal", "export").out
    for name in ("a.jsonl", "a.jsonl.zst"):
        said = shell("journal", "export", "-o", str(tmp_path / name), "--json").json
        assert said["count"] == said["head"] == len(piped.splitlines()) - 2
        assert said["root"] == json.loads(piped.splitlines()[-1])["root"]
    assert (tmp_path / "a.jsonl").read_text() == piped
    assert tuple(asyncio.run(read(str(tmp_path / "a.jsonl.zst")))) == tuple(
        asyncio.run(read(str(tmp_path / "interlock.db")))
    )
    assert shell("journal").out.startswith(f"{said['count']} transitions\n")
    assert json.loads(shell("journal", "schema").out) == json_schema()


def test_a_file_fills_a_new_database(shell: Shell, tmp_path: Path) -> None:
    file, copy = tmp_path / "a.jsonl.zst", tmp_path / "copy.db"
    shell("journal", "export", "-o", str(file))
    shell("--db", str(copy), "journal", "import", str(file))
    assert shell("--db", str(copy), "journal", "export").out == shell("journal", "export").out
    shell("--db", str(copy), "journal", "verify")
    file.write_bytes(file.read_bytes()[:-1])
    shell("--db", str(tmp_path / "other.db"), "journal", "import", str(file), exit=1)


def test_packing_flushes_what_is_left() -> None:
    written = BytesIO()
    with files.packing(written, True) as write:
        write(b"a\n")
    assert files.zstd().decompress(written.getvalue()) == b"a\n"


def test_the_commands_of_the_page_run_as_printed(shell: Shell, tmp_path: Path) -> None:
    for _, code in blocks("docs/journal.md", "sh", "ready"):
        said = run(tmp_path, "sh", "-ec", code)
        assert "transitions" in said
