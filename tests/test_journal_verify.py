"""`verify`: whatever is done to a journal is found, and where; what nobody touched is not accused."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.story import life, story
from interlock.engine.core import lines
from interlock.engine.core.decision import seal
from interlock.engine.core.rebuild import Flaw
from interlock.engine.core.verify import Ended, Verifier
from interlock.engine.store import files
from interlock.engine.store.store import Store
from interlock.replay import verify
from interlock.replay.crew import verify_together
from interlock.replay.tables import verify_database
from interlock.replay.verify import Verified
from interlock.schema import guards
from interlock.schema.records import Operation
from interlock.schema.tables.history import journal
from interlock.schema.transition import CLOUD, Transition
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.run import play
from interlock.testing.fuzz.universe import Universe
from tests.bare import Bare, bare, value
from tests.command import Shell
from tests.journals import as_lines, exported, lived, verified

GOLDEN = Path(__file__).parent / "golden"
FLIPS = 1_000


# --- nothing is found where nothing is


@pytest.mark.parametrize("packed", [False, True])
def test_a_journal_that_nobody_touched_is_true(packed: bool) -> None:
    said = verified(exported(lived(), packed=packed))
    assert said.findings == [] and not said.more
    assert said.count == said.head == len(lived())


@pytest.mark.parametrize("name", ["journal-0.2.jsonl.zst", "journal-1.jsonl"])
def test_journals_of_earlier_releases_are_true(name: str) -> None:
    assert verified((GOLDEN / name).read_bytes()).findings == []


def test_fuzzed_journals_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what memory says of them: only what lives is kept."""
    made: list[list[Any]] = []
    close = Universe.close

    def kept(universe: Universe) -> None:
        made.append(universe.store.journal)
        close(universe)

    monkeypatch.setattr(Universe, "close", kept)
    for number in range(8):
        assert play(ground.setting(), "verify", number).violation is None
    for entries in made:
        verifier = Verifier()
        for seq, entry in enumerate(entries, 1):
            row = Transition(seq=seq, **msgspec.structs.asdict(entry))
            assert verifier.add(row) == []
        last = {row.entity_id: (row.machine, row.destination) for row in entries if row.machine != CLOUD}
        living = {key for records in verifier.rebuild.records.values() for key in records}
        assert len(living) + len(verifier.ended) == len(last)
        assert all(last[key][1] not in ("Succeeded", "Failed", "Cancelled", "Expunged") for key in living)
    assert len(made) == 8


# --- one changed byte anywhere


def flipped(file: bytes, chance: random.Random) -> tuple[int, bytes]:
    """Another byte at a random place."""
    at = chance.randrange(len(file))
    byte = chance.choice([each for each in range(256) if each != file[at]])
    return at, file[:at] + bytes([byte]) + file[at + 1 :]


def test_one_changed_byte_is_found_in_its_line() -> None:
    file, chance = exported(lived()), random.Random("a byte")
    met = set()
    for _ in range(FLIPS):
        at, changed = flipped(file, chance)
        said = verified(changed)
        line = file.count(b"\n", 0, at) + 1
        assert said.findings, f"byte {at} is {changed[at]}, and nothing is found"
        assert said.findings[0].line == line, f"byte {at} is {changed[at]}: {said.findings[0]}, not line {line}"
        met.add(line)
    assert len(met) > 0.9 * file.count(b"\n"), "all lines were hit"


def test_one_changed_byte_of_each_short_line_is_found() -> None:
    """The header and the trailer, at every byte."""
    whole = exported(lived()).splitlines(keepends=True)
    for number in (0, len(whole) - 1):
        for at in range(len(whole[number])):
            other = whole[number][:at] + bytes([whole[number][at] ^ 1]) + whole[number][at + 1 :]
            said = verified(b"".join([*whole[:number], other, *whole[number + 1 :]]))
            assert said.findings and said.findings[0].line == number + 1, (number, at)


def test_one_changed_byte_of_a_packed_file_is_found_in_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART", 8192)
    file, chance = exported(lived(), packed=True), random.Random("a packed byte")
    parts = [at for at in range(len(file)) if file.startswith(files.SKIPPED, at)]
    assert len(parts) > 3
    before = [files.zstd().decompress(file[:part]).count(b"\n") if part else 0 for part in parts]
    for _ in range(FLIPS // 2):
        at, changed = flipped(file, chance)
        said = verified(changed)
        [part] = [number for number, begin in enumerate(parts) if begin <= at and at < [*parts, len(file)][number + 1]]
        assert said.findings, f"byte {at} is {changed[at]}, and nothing is found"
        assert said.findings[0].line == before[part] + 1, said.findings[0]


def test_one_changed_byte_of_what_another_program_packed_is_found_if_it_changes_a_line() -> None:
    plain, chance = exported(lived()), random.Random("a foreign byte")
    file, found = files.zstd().compress(plain), 0
    for _ in range(200):
        _, changed = flipped(file, chance)
        try:
            same = files.zstd().decompress(changed) == plain
        except files.zstd().ZstdError:
            same = False
        findings = verified(changed).findings
        assert findings or same
        found += bool(findings)
    assert found > 190


# --- whole lines


LINES = as_lines(lived())
LAST = len(LINES)


@pytest.mark.parametrize(
    ("change", "line", "flaw"),
    [
        (lambda all: [*all[:-1]], LAST, "cut off"),
        (lambda all: [*all[:-3]], LAST - 2, "cut off"),
        (lambda all: [*all[:-1], all[-1][:-1]], LAST, "trailer"),
        (lambda all: [*all[:5], *all[6:]], 6, Flaw.GAP),
        (lambda all: [*all[:5], *all[8:]], 6, Flaw.GAP),
        (lambda all: [*all[:6], *all[5:]], 7, Flaw.ORDER),
        (lambda all: [*all[:5], all[6], all[5], *all[7:]], 6, Flaw.GAP),
        (lambda all: [*all[:5], b"\n", *all[5:]], 6, "line"),
        (lambda all: [*all[:5], b" " + all[5], *all[6:]], 6, "line"),
        (lambda all: [*all, all[5]], LAST + 1, "added"),
        (lambda all: [*all, b"\n"], LAST + 1, "added"),
        (lambda all: all[1:], 1, "header"),
        (lambda all: [*all[:1], *all], 2, "line"),
        (lambda all: [], 1, "cut off"),
        (lambda all: [*all[:-1], as_lines(lived()[:9])[-1]], LAST, "root"),
    ],
)
def test_lines_that_were_removed_added_or_moved_are_found(
    change: Callable[[list[bytes]], list[bytes]], line: int, flaw: str
) -> None:
    assert verified(b"".join(LINES)).findings == []
    found = verified(b"".join(change(LINES))).findings
    assert (found[0].line, found[0].flaw) == (line, flaw), found


def test_lines_without_a_file_of_their_own_header_are_found() -> None:
    other = lines.header("another program")
    [found] = verified(b"".join([other, *LINES[1:]])).findings
    assert found.flaw == "root" and "another file" in found.reason


# --- forgeries, each with hashes that fit


def forged(rows: Sequence[Transition], number: int, **columns: Any) -> list[Transition]:
    """The rows with one changed, and sealed again."""
    edited = msgspec.structs.replace(rows[number], **columns)
    return [*rows[:number], msgspec.structs.replace(edited, hash=seal(edited)), *rows[number + 1 :]]


def chained(rows: Sequence[Transition]) -> list[Transition]:
    """The rows with every hash made anew, so that each chain closes."""
    last: dict[str, str] = {}
    made = []
    for row in rows:
        linked = msgspec.structs.replace(row, prev=last.get(row.entity_id, ""))
        made.append(msgspec.structs.replace(linked, hash=seal(linked)))
        last[row.entity_id] = made[-1].hash
    return made


def first(**columns: Any) -> int:
    """The place of the first row with these columns."""
    return next(
        number
        for number, row in enumerate(lived())
        if all(getattr(row, name) == wanted for name, wanted in columns.items())
    )


def found_in(rows: Sequence[Transition]) -> Verified:
    """What is found in a whole file of these rows."""
    return verified(b"".join(as_lines(rows)))


def test_an_edit_with_a_hash_that_fits_breaks_the_chain() -> None:
    rows, number = lived(), first(machine="vm", destination="Starting")
    found = found_in(forged(rows, number, actor="mallory")).findings
    after = next(row for row in rows[number + 1 :] if row.entity_id == rows[number].entity_id)
    assert [(each.flaw, each.seq, each.line) for each in found] == [(Flaw.CHAIN, after.seq, after.seq + 1)]


def test_the_last_row_of_an_entity_forged_and_a_root_that_does_not_fit() -> None:
    whole = as_lines(lived())
    last = lived()[-1]
    edited = forged(lived(), len(lived()) - 1, actor="mallory")[-1]
    assert last.entity_id == edited.entity_id
    [found] = verified(b"".join([*whole[:-2], lines.line_of(edited), whole[-1]])).findings
    assert found.line == len(whole) and "root" in found.reason


def test_a_whole_forgery_is_given_away_by_its_root_alone() -> None:
    rows = chained([msgspec.structs.replace(row, actor="mallory") for row in lived()])
    said = found_in(rows)
    assert said.findings == []
    assert said.root != found_in(lived()).root


@pytest.mark.parametrize(
    ("columns", "flaw", "words"),
    [
        ({"destination": "Stopped"}, Flaw.ILLEGAL, "no transition of machine vm"),
        ({"source": "Stopped"}, Flaw.ILLEGAL, "leaves state Stopped, but the entity is Allocated"),
        ({"ledger": "[]"}, Flaw.LEDGER, "its changes move"),
        ({"changes": '{"name":"other"}'}, Flaw.CHANGES, "written once"),
        ({"changes": '{"host_id":7}'}, Flaw.CHANGES, "Expected"),
        ({"version": 1}, Flaw.FORK, "makes version 1 of 1"),
        ({"version": 9}, Flaw.GAP, "makes version 9 of 1"),
    ],
)
def test_what_no_machine_can_have_written_is_found_though_all_hashes_fit(
    columns: dict[str, Any], flaw: str, words: str
) -> None:
    number = first(machine="vm", destination="Starting")
    found = found_in(chained(forged(lived(), number, **columns))).findings
    assert (found[0].seq, found[0].flaw) == (number + 1, flaw), found
    assert words in found[0].reason
    assert {each.entity_id for each in found} == {lived()[number].entity_id}, "nobody else is accused"


def test_a_fork_is_found() -> None:
    """Two rows follow the same one: as if a database had been restored and gone on, and both journals were joined."""
    rows, number = list(lived()), first(machine="vm", event="StartRequested")
    twin = forged(rows, number, actor="mallory")[number]
    numbered = [
        msgspec.structs.replace(row, seq=seq)
        for seq, row in enumerate([*rows[: number + 1], twin, *rows[number + 1 :]], 1)
    ]
    found = found_in(numbered).findings
    assert (found[0].seq, found[0].flaw, found[0].entity_id) == (number + 2, Flaw.FORK, twin.entity_id)


def test_who_comes_again_after_the_end_is_found() -> None:
    rows = list(lived())
    ended = next(row for row in rows if row.machine == "vm" and row.destination == "Expunged")
    born = next(row for row in rows if row.entity_id == ended.entity_id)
    again = msgspec.structs.replace(born, seq=len(rows) + 1)
    found = found_in([*rows, again]).findings
    assert [(each.flaw, each.seq) for each in found] == [(Flaw.FORK, again.seq)]
    assert "after its end" in found[0].reason


def test_an_address_that_two_hold_is_found() -> None:
    rows = list(lived())
    owned = [(n, row) for n, row in enumerate(rows) if row.machine == "nic" and '"ip"' in row.ledger]
    (_, one), (number, other) = owned[0], next(each for each in owned if each[1].entity_id != owned[0][1].entity_id)
    address, wanted = one.changed["ip_address"], other.changed["ip_address"]
    assert address != wanted
    stolen = {name: getattr(other, name).replace(wanted, address) for name in ("changes", "ledger")}
    given_back = [
        row for row in rows[:number] if row.entity_id == one.entity_id and one.changed["ip_address"] in row.ledger
    ]
    assert len(given_back) == 1, "the first still holds it"
    found = found_in(chained(forged(rows, number, **stolen))).findings
    assert (found[0].flaw, found[0].seq) == (Flaw.LEDGER, number + 1)
    assert address in found[0].reason and one.entity_id in found[0].reason


def test_several_findings_are_told_and_not_more_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(lived())
    numbers = [first(machine=name, version=1) for name in ("vm", "nic", "volume")]
    for number in numbers:
        rows = [*rows[:number], msgspec.structs.replace(rows[number], actor="mallory"), *rows[number + 1 :]]
    said = found_in(rows)
    assert sorted(each.line for each in said.findings if each.line) == sorted(number + 2 for number in numbers)
    assert {each.flaw for each in said.findings} == {Flaw.EDITED}
    monkeypatch.setattr(verify, "MOST", 2)
    assert (len(found_in(rows).findings), found_in(rows).more) == (2, True)


def test_ids_of_the_ended_take_little_and_are_known() -> None:
    ended = Ended()
    for number in range(5_000):
        assert f"id-{number}" not in ended
        ended.add(f"id-{number}")
        ended.add(f"id-{number}")
    assert len(ended) == 5_000
    assert all(f"id-{number}" in ended for number in range(5_000))
    assert ended._slots.itemsize * len(ended._slots) <= 8 * 4 * 5_000


# --- in several processes, and in little memory


@pytest.mark.parametrize("number", [0, 1, 2])
def test_several_processes_find_what_one_finds(number: int, tmp_path: Path) -> None:
    """Lines edited, missing, misspelt, moved; an address with two owners; nothing."""
    file = damaged()[number]
    alone = verified(file)
    path = tmp_path / "journal"
    path.write_bytes(file)
    crew = verify_together(str(path), 2)
    assert alone.findings == crew.findings and bool(number) == bool(alone.findings)
    assert (alone.root, alone.head) == (crew.root, crew.head)
    assert alone.count == crew.count


def damaged() -> list[bytes]:
    """A whole file, and two that are not."""
    edited = list(LINES)
    for number in (5, 23, 24, 61):
        edited[number] = edited[number].replace(b'"actor":"', b'"actor":"x')
    edited[40] = b" " + edited[40]
    edited[50:52] = [edited[51], edited[50]]
    rows = list(lived())
    first, other = [n for n, row in enumerate(rows) if row.machine == "nic" and '"ip"' in row.ledger][:2]
    address, wanted = rows[first].changed["ip_address"], rows[other].changed["ip_address"]
    stolen = {name: getattr(rows[other], name).replace(wanted, address) for name in ("changes", "ledger")}
    return [b"".join(LINES), b"".join(edited), b"".join(as_lines(chained(forged(rows, other, **stolen))))]


def test_memory_does_not_grow_with_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "BLOCK", 200)
    monkeypatch.setattr(files, "PART", 1 << 16)
    once = life()
    short, long = (b"".join(as_lines(list(story(once, count)))) for count in (1_200, 6_000))
    assert len(long) > 3 * len(short)
    verified(short)
    assert peak(long) < 1.15 * peak(short)


def peak(file: bytes) -> int:
    """Bytes taken at most while it is verified."""
    tracemalloc.start()
    try:
        assert verified(file).findings == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- a database


@asynccontextmanager
async def unguarded(url: str) -> AsyncIterator[Bare]:
    """Bare SQL on a database whose guards somebody has dropped."""
    async with bare(url) as database:
        drops = await database.rows(guards.earlier(database.dialect))
        assert len(drops) > 10
        for (drop,) in drops:
            await database.run(drop)
        yield database


async def of(url: str) -> Verified:
    store = await Store.open(url, create=False)
    try:
        return await verify_database(store)
    finally:
        await store.close()


async def test_a_database_that_nobody_touched_is_true(lived_url: str) -> None:
    said = await of(lived_url)
    assert said.findings == []
    async with bare(lived_url) as database:
        assert said.count == said.head == await value(database, "SELECT count(*) FROM journal")


EDITS = {
    "UPDATE journal SET actor = 'mallory' WHERE seq = 3": (Flaw.EDITED, 3),
    "DELETE FROM journal WHERE seq = 3": (Flaw.GAP, 4),
    "UPDATE vm SET state = 'Stopped' WHERE name = 'web'": ("table", None),
    "UPDATE operation SET error = 'it was not me'": ("table", None),
    "UPDATE nic SET ip_address = '10.0.0.77' WHERE id = (SELECT min(id) FROM nic)": ("table", None),
    "DELETE FROM volume": ("table", None),
    "UPDATE host SET cpu_mhz = 999999 WHERE id = (SELECT min(id) FROM host)": ("table", None),
    "UPDATE volume SET id = 'new' WHERE id = (SELECT min(id) FROM volume)": ("table", None),
}


@pytest.mark.parametrize("sql", EDITS)
async def test_what_was_edited_past_the_guards_is_found(lived_url: str, sql: str) -> None:
    async with unguarded(lived_url) as database:
        await database.run(sql)
    flaw, seq = EDITS[sql]
    said = await of(lived_url)
    assert (said.findings[0].flaw, said.findings[0].seq) == (flaw, seq), said.findings
    if flaw == "table":
        table = sql.split()[2] if sql.startswith("DELETE") else sql.split()[1]
        assert {each.machine for each in said.findings} == {table}


async def test_a_row_that_no_transition_made_is_found(lived_url: str) -> None:
    async with unguarded(lived_url) as database:
        columns = [f'"{name}"' for name in Operation.__struct_fields__]
        values = ["'invented'", *columns[1:]]
        await database.run(
            f"INSERT INTO operation ({', '.join(columns)}) SELECT {', '.join(values)} FROM operation LIMIT 1"
        )
    [found] = (await of(lived_url)).findings
    assert (found.flaw, found.machine, found.entity_id) == ("table", "operation", "invented")
    assert "no transition made" in found.reason


async def test_what_is_committed_meanwhile_does_not_disturb(lived_url: str) -> None:
    """The snapshot is taken with the first read: a later edit is not seen by it."""
    store = await Store.open(lived_url, create=False)
    try:
        async with unguarded(lived_url) as database, store.snapshot() as snapshot:
            before = await snapshot.rows(_heads())
            await database.run("UPDATE journal SET actor = 'mallory'")
            assert await snapshot.rows(_heads()) == before
        async with store.snapshot() as snapshot:
            assert await snapshot.rows(_heads()) != before
    finally:
        await store.close()


def _heads() -> Any:
    return journal.select().order_by(journal.c.seq)


# --- the command


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a new database with a VM in it."""
    return Shell.with_web(tmp_path)


def test_the_command_says_what_it_found_and_where(shell: Shell, tmp_path: Path) -> None:
    whole, edited = tmp_path / "whole.jsonl.zst", tmp_path / "edited.jsonl"
    shell("journal", "export", "-o", str(whole))
    root = shell("journal", "verify", "--json").json[0]["root"]
    said = shell("journal", "verify", str(whole), str(tmp_path / "interlock.db"))
    assert said.out.count("nothing found") == 2 and said.out.count(f"root {root}\n") == 2
    plain = shell("journal", "export").out
    edited.write_text(plain.replace("cli:", "cli;", 1))
    said = shell("journal", "verify", str(edited), exit=1)
    assert said.out.startswith(f"{edited}:2: edited: transition 1, the cloud, ")
    assert "1 finding\n" in said.out and "\nroot " not in said.out
    [document] = shell("journal", "verify", str(edited), "--json", exit=1).json
    assert document["findings"][0] | {"reason": ""} == {
        "flaw": "edited",
        "reason": "",
        "line": 2,
        "seq": 1,
        "machine": "cloud",
        "entity_id": "cloud",
    }
    shell("journal", "verify", str(tmp_path / "gone"), exit=4)
