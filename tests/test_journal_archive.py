"""What has ended leaves the database for a file: all of it or nothing, nobody else's, and the journal stays whole."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interlock import CreateDisk
from interlock.engine.orchestrator import archival
from interlock.engine.store import archive as archiving
from interlock.engine.store import queries
from interlock.engine.store.archive import Archived, archive_ripe
from interlock.engine.store.store import Store
from interlock.replay import source
from interlock.replay.source import opened
from interlock.replay.tables import verify_database
from interlock.replay.verify import Verified, verify_file
from interlock.schema.errors import JournalDamaged, StoreError
from interlock.schema.settings import ARCHIVE_FOLDER, RETENTION
from interlock.schema.transition import Transition
from tests.bare import Bare, Refused, bare, value
from tests.command import SMALL, Shell
from tests.journals import live
from tests.world import World, world

NEVER = 2**62
"""Later than anything that ended."""
TABLES = ("vm", "nic", "volume", "operation")


@asynccontextmanager
async def a_store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, create=False)
    try:
        yield store
    finally:
        await store.close()


async def archived(store: Store, folder: Path, before: int = NEVER) -> Archived | None:
    return await archive_ripe(store, folder, before=before, at=7, made_by="a test")


async def read(url: str) -> list[Transition]:
    async with opened(url) as pages:
        return [row async for page in pages for row in page]


async def true(url: str) -> Verified:
    async with a_store(url) as store:
        return await verify_database(store)


async def left(url: str) -> dict[str, set[str]]:
    """Ids of what is in the tables, and of whom the journal has rows."""
    async with bare(url) as database:
        found = {name: {row[0] for row in await database.rows(f"SELECT id FROM {name}")} for name in TABLES}
        found["journal"] = {row[0] for row in await database.rows("SELECT entity_id FROM journal")}
        assert await value(database, "SELECT count(*) FROM archiving") == 0
        return found


@pytest.fixture
async def ended_url(empty_url: str, tmp_path: Path) -> str:
    """A database with a VM that was expunged, one that failed, and one that runs."""
    async with world(tmp_path, url=empty_url) as lab:
        await live(lab)
    return empty_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where archives go."""
    made = tmp_path / "archives"
    made.mkdir()
    return made


async def test_what_has_ended_leaves_and_the_journal_stays_whole(ended_url: str, folder: Path) -> None:
    before, root, there = await read(ended_url), (await true(ended_url)).root, await left(ended_url)
    async with a_store(ended_url) as store:
        made = await archived(store, folder)
        assert made is not None and made.path.exists()
        assert await archived(store, folder) is None, "nothing is ripe any more"
    assert await read(ended_url) == before
    said = await true(ended_url)
    assert (said.findings, said.root, said.count) == ([], root, len(before))
    remains = await left(ended_url)
    async with bare(ended_url) as database:
        assert await database.rows("SELECT name FROM vm WHERE state = 'Expunged'") == []
        assert await value(database, "SELECT count(*) FROM vm WHERE name = 'late'") == 1
        assert await value(database, "SELECT count(*) FROM journal") == len(before) - made.count
    gone = {name: there[name] - remains[name] for name in there}
    assert gone["journal"] == gone["vm"] | gone["nic"] | gone["volume"] | gone["operation"]
    assert all(gone.values())
    with made.path.open("rb") as file:
        alone = verify_file(file)
    assert (alone.findings, alone.count, alone.root) == ([], made.count, made.root)


async def test_nothing_leaves_before_its_time(ended_url: str, folder: Path) -> None:
    async with bare(ended_url) as database:
        since = await value(database, "SELECT max(since) FROM vm WHERE state = 'Expunged'")
        await database.run("SELECT 1")
    async with a_store(ended_url) as store:
        made = await archived(store, folder, before=since)
        ended = [] if made is None else [row for row in await read(str(made.path)) if row.machine == "vm"]
        assert "Expunged" not in {row.destination for row in ended}
        assert await archived(store, folder, before=since + 1) is not None


async def test_disks_that_moved_between_vms_and_loose_ones_leave_with_all_that_is_of_them(
    empty_url: str, folder: Path, tmp_path: Path
) -> None:
    async with world(tmp_path, url=empty_url) as lab:
        await _disks(lab)
        root = (await verify_database(lab.engine._store)).root
        made = await archived(lab.engine._store, folder)
        assert made is not None
        assert (await verify_database(lab.engine._store)).findings == []
        assert (await verify_database(lab.engine._store)).root == root
        names = {vm.name for vm in (await lab.engine.vms()).vms}
        disks = {disk.name for disk in (await lab.engine.disks()).disks}
    assert names == {"stays"}
    assert "moved" not in disks and "loose" not in disks and "kept" in disks


async def _disks(lab: World) -> None:
    """`moved` goes from VM to VM and ends there; `kept` is taken from it before; `loose` was never anyone's."""
    await lab.deploy("stays")
    await lab.deploy("goes")
    for name in ("moved", "kept", "loose"):
        await (await lab.engine.create_disk(CreateDisk(name=name, zone="z", offering="any", size_mib=1024))).wait()
    await (await lab.engine.attach_disk("stays", "moved")).wait()
    await (await lab.engine.detach_disk("moved")).wait()
    for name in ("moved", "kept"):
        await (await lab.engine.attach_disk("goes", name)).wait()
    await (await lab.engine.detach_disk("kept")).wait()
    await (await lab.engine.delete_disk("loose")).wait()
    for work in ("destroy", "expunge"):
        await lab.run(work, "goes")
    if "moved" in {disk.name for disk in (await lab.engine.disks()).disks if disk.state != "Expunged"}:
        await (await lab.engine.delete_disk("moved")).wait()
    await lab.run("stop", "stays")


async def test_the_journal_s_last_row_never_leaves(ended_url: str, folder: Path, tmp_path: Path) -> None:
    """What number comes next follows from it."""
    async with world(tmp_path, url=ended_url) as lab:
        for work in ("destroy", "expunge"):
            await lab.run(work, "late")
        head = (await lab.engine._store.rows(queries.journal_head()))[0][0]
        made = await archived(lab.engine._store, folder)
        assert made is not None and made.last < head
        assert (await lab.deploy("next")).state == "Succeeded"
        assert (await verify_database(lab.engine._store)).findings == []
        assert await archived(lab.engine._store, folder) is not None, "now it may"
        assert (await verify_database(lab.engine._store)).findings == []


# --- crashes and others


async def test_a_crash_between_file_and_database_leaves_both_and_is_finished_later(
    ended_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, there = await read(ended_url), await left(ended_url)

    async def crashes(*args: object) -> None:
        raise KeyboardInterrupt

    async with a_store(ended_url) as store:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(archiving, "_leave", crashes)
            await archived(store, folder)
        [orphan] = folder.iterdir()
        assert await left(ended_url) == there and await read(ended_url) == before
        made = await archived(store, folder)
        assert made is not None and [made.path.name] == [orphan.name] == [each.name for each in folder.iterdir()]
    assert await read(ended_url) == before


async def test_a_crash_in_the_transaction_leaves_everything(
    ended_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, whole = await left(ended_url), archiving._leave

    async def crashes(*args: object) -> None:
        await whole(*args)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    async with a_store(ended_url) as store:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(archiving, "_leave", crashes)
            await archived(store, folder)
    assert await left(ended_url) == there
    async with bare(ended_url) as database:
        assert await value(database, "SELECT count(*) FROM archive") == 0


async def test_two_who_archive_the_same_do_it_once(
    ended_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, whole = await read(ended_url), archiving._leave
    async with a_store(ended_url) as store, a_store(ended_url) as other:
        met = []
        write = archiving._written

        def written(*args: object) -> Archived:
            met.append("written")
            return write(*args)  # type: ignore[arg-type]

        async def second(*args: object) -> None:
            await whole(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(archiving, "_written", written)
        stale = await _ready(store)
        assert await archived(other, folder) is not None
        with pytest.raises(StoreError):
            async with store.locked() as connection:
                await second(connection, *stale)
    assert met == ["written"]
    assert await read(ended_url) == before
    assert (await true(ended_url)).findings == []


async def _ready(store: Store) -> tuple[Archived, list[str]]:
    """What somebody would remove who has looked before."""
    async with store.snapshot() as snapshot:
        stories = await archiving._ripe(snapshot, NEVER)
        ids = [each for story in stories for some in story.values() for each in some]
        rows = await archiving._rows(snapshot, ids)
    known = Archived(id="x", folder="/", count=len(rows), first=1, last=2, root="r", archived_at=1)
    return known, ids


async def test_who_reads_while_rows_leave_reads_them_all(
    ended_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await read(ended_url)
    monkeypatch.setattr("interlock.replay.archives.PAGE", 5)
    async with a_store(ended_url) as store:
        found: list[Transition] = []
        async for page in source.pages(store):
            found += page
            if len(found) == 5:
                assert await archived(store, folder) is not None
    assert found == before
    async with opened(ended_url, after=20) as pages:
        assert [row async for page in pages for row in page] == before[20:]


async def test_several_archives_that_overlap_are_one_journal(
    ended_url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, url=ended_url) as lab:
        for name in ("one", "two"):
            await lab.deploy(name)
        for name in ("one", "late", "two"):
            await lab.run("destroy", name)
            await lab.run("expunge", name)
        await lab.deploy("last")
    before, root = await read(ended_url), (await true(ended_url)).root
    monkeypatch.setattr(archiving, "BATCH", 1)
    async with a_store(ended_url) as store:
        made = []
        while (each := await archived(store, folder)) is not None:
            made.append(each)
    assert len(made) == 4
    assert any(one.first < other.first < one.last for one in made for other in made)
    assert await read(ended_url) == before
    assert (await true(ended_url)).root == root


# --- what is wrong is found


async def _archive_of(url: str, folder: Path) -> Path:
    async with a_store(url) as store:
        made = await archived(store, folder)
    assert made is not None
    return made.path


async def test_a_missing_archive_is_found(ended_url: str, folder: Path) -> None:
    (await _archive_of(ended_url, folder)).unlink()
    [found] = (await true(ended_url)).findings
    assert found.flaw == "archive" and "cannot be read: No such file" in found.reason
    with pytest.raises(StoreError, match="cannot be read"):
        await read(ended_url)


async def test_an_edited_archive_is_found(ended_url: str, folder: Path) -> None:
    path = await _archive_of(ended_url, folder)
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    [found] = (await true(ended_url)).findings
    assert found.flaw == "archive" and path.name in found.reason
    with pytest.raises(JournalDamaged, match="packed part 1"):
        await read(ended_url)


async def test_another_archive_in_its_place_is_found(ended_url: str, folder: Path, tmp_path: Path) -> None:
    path = await _archive_of(ended_url, folder)
    rows = await read(str(path))
    other = tmp_path / "other"
    other.mkdir()
    made = archiving._written(other, rows[:-1], "somebody", 7)
    shutil.copy(made.path, path)
    found = (await true(ended_url)).findings
    assert found and (found[-1].flaw == "archive" or found[0].seq is not None)
    with pytest.raises(JournalDamaged, match="another one than was archived"):
        await read(ended_url)


# --- guards

FORBIDDEN = {
    "DELETE FROM journal WHERE seq = 1": "rows of journal are never deleted",
    "DELETE FROM vm WHERE state = 'Expunged'": "rows of vm are never deleted",
    "DELETE FROM operation": "rows of operation are never deleted",
    "INSERT INTO archiving (entity_id, archive_id) SELECT id, 'no such' FROM vm": "names its archive",
    "INSERT INTO archive (id, folder, count, first, last, root, archived_at) VALUES ('a', '/', 0, 1, 1, 'r', 1)": (
        "an archive holds journal rows"
    ),
}


@pytest.mark.parametrize("sql", FORBIDDEN)
async def test_nothing_leaves_by_hand(ended_url: str, sql: str) -> None:
    async with bare(ended_url) as database:
        with pytest.raises(Refused, match=FORBIDDEN[sql]):
            await database.run(sql)


async def test_what_was_archived_is_never_forgotten(ended_url: str, folder: Path) -> None:
    await _archive_of(ended_url, folder)
    async with bare(ended_url) as database:
        for sql in ("DELETE FROM archive", "UPDATE archive SET root = 'other'"):
            with pytest.raises(Refused, match="never changed nor forgotten"):
                await database.run(sql)


async def test_even_in_such_a_transaction_what_lives_stays_and_so_does_the_last_row(ended_url: str) -> None:
    async with bare(ended_url) as database:
        await database.run("BEGIN")
        await _pretended(database)
        with pytest.raises(Refused, match="rows of vm are never deleted"):
            await database.run("DELETE FROM vm WHERE name = 'late'")
        await database.run("ROLLBACK")
        await database.run("BEGIN")
        await _pretended(database)
        with pytest.raises(Refused, match="the last never"):
            await database.run("DELETE FROM journal")
        await database.run("ROLLBACK")


async def _pretended(database: Bare) -> None:
    values = "VALUES ('a', '/', 1, 1, 1, 'r', 1)"
    await database.run(f"INSERT INTO archive (id, folder, count, first, last, root, archived_at) {values}")
    await database.run("INSERT INTO archiving (entity_id, archive_id) SELECT DISTINCT entity_id, 'a' FROM journal")


# --- the command


def test_the_command_archives_what_is_older(tmp_path: Path, folder: Path) -> None:
    shell = Shell(tmp_path)
    shell.init()
    shell("deploy", "web", *SMALL, "--count", "2")
    for work in ("destroy", "expunge"):
        shell(work, "web-1")
    shell("stop", "web-2")
    assert shell("journal", "archive", str(folder)).out == "nothing is ripe\n"
    before = shell("journal", "export").out
    [made] = shell("journal", "archive", str(folder), "--days", "0", "--json").json
    assert (folder / made["id"]).exists()
    assert shell("journal", "export").out == before
    shell("journal", "verify", str(folder / made["id"]))
    shell("journal", "verify")
    shell("doctor")
    assert {row[0] for row in shell("ps", "--all").rows} == {"NAME", "web-2"}


# --- by itself


async def test_an_engine_archives_when_the_retention_has_passed(
    empty_url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archival, "PAUSE", 0.0)
    async with world(tmp_path, url=empty_url) as lab:
        await live(lab)
        await lab.engine.set_setting(RETENTION.name, 1)
        await lab.engine.set_setting(ARCHIVE_FOLDER.name, str(folder))
        await settled(lab)
        assert list(folder.iterdir()) == [], "a day has not passed"
        await lab.engine.set_setting(RETENTION.name, 0)
        await settled(lab)
        [file] = folder.iterdir()
        assert "Expunged" not in {vm.state for vm in (await lab.engine.vms()).vms}
        assert (await verify_database(lab.engine._store)).findings == []
    assert file.name.startswith("journal-")


async def settled(lab: World) -> None:
    """Let the look that is under way end; it does nothing but what its timer would."""
    await lab.engine._orchestrator.archival._look()


async def test_a_folder_that_is_not_there_costs_nothing(empty_url: str, tmp_path: Path) -> None:
    async with world(tmp_path, url=empty_url) as lab:
        await live(lab)
        before = await left(empty_url)
        await lab.engine.set_setting(ARCHIVE_FOLDER.name, str(tmp_path / "gone"))
        await lab.engine.set_setting(RETENTION.name, 0)
        await settled(lab)
        assert lab.engine._orchestrator.archival._timer is not None, "it is tried again"
    after = await left(empty_url)
    assert after == before


async def test_without_both_settings_there_is_no_timer(empty_url: str, folder: Path, tmp_path: Path) -> None:
    async with world(tmp_path, url=empty_url) as lab:
        await live(lab)
        for name, value_ in ((RETENTION.name, 0), (ARCHIVE_FOLDER.name, str(folder))):
            assert lab.engine._orchestrator.archival._timer is None
            await settled(lab)
            assert list(folder.iterdir()) == []
            await lab.engine.set_setting(name, value_)
        await lab.engine.unset_setting(RETENTION.name)
        await settled(lab)
        assert lab.engine._orchestrator.archival._timer is None
