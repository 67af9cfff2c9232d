"""`why`: the chain from a request to the present state, for stories of every end; and that no row is left out of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.cli.telling import HEIGHT, full, short
from interlock.replay.chapters import chapters
from interlock.replay.why import Answer, document, why
from interlock.schema.errors import NotFound
from interlock.schema.transition import Transition
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.chance import Chance
from interlock.testing.fuzz.mix import a_mix
from interlock.testing.fuzz.run import WORKERS, rest
from interlock.testing.fuzz.universe import Universe
from tests.command import SMALL, Shell, described
from tests.stories import ABOUT, STORIES, Story, committed, followed, nowhere, refused, running, stuck

GOLDEN = Path(__file__).parent / "golden"
Made = Callable[[], Story]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in local time."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def answer_to(made: Made) -> tuple[Answer, int]:
    """Why the VM of a story is as it is, and when that is asked."""
    story = made()
    assert not story.faults, "all that was ordered has fired"
    vm = ABOUT.get(made.__name__, "1-1")
    rows = [row for row in story.rows if row.vm_id == vm]
    return why(rows, "vm", vm), story.universe.now


def text(lines: list[list[tuple[str, str]]]) -> str:
    """As it is printed where there are no colours."""
    return "".join("".join(words for words, _ in line).rstrip() + "\n" for line in lines)


# --- one screen


@pytest.mark.parametrize("made", STORIES, ids=lambda made: made.__name__)
def test_a_story_is_told_on_one_screen(made: Made) -> None:
    """To make the files anew: `python -m tests.stories`."""
    said = text(short(*answer_to(made), 80))
    assert len(said.splitlines()) <= HEIGHT
    assert max(map(len, said.splitlines())) <= 80
    assert said == (GOLDEN / f"why-{made.__name__}.txt").read_text()


def test_what_went_wrong_is_left_out_last() -> None:
    """A story that is far too long for a screen still has its ends, each refusal and how much is missing."""
    said = text(short(*answer_to(refused), 80))
    assert "lines are left out" in said
    assert said.count("answered permanent") == 2 and said.count("answered transient") == 1


def test_of_a_stuck_operation_the_ways_out_are_told() -> None:
    answer, now = answer_to(stuck)
    assert answer.waiting is not None and answer.waiting.ways_out == ("undo", "accept")
    assert answer.may_be_asked == (), "the operation owns the VM"
    said = text(short(answer, now, 80))
    assert "interlock resolve 1-0 --undo --reason" in said and "interlock resolve 1-0 --accept --reason" in said
    assert "--retry" not in said


def test_every_candidate_that_was_refused_has_its_reason() -> None:
    answer, _ = answer_to(nowhere)
    [turn] = [item for item in document(answer)["chapters"][0]["items"] if item["what"] == "turn"]
    assert [who for who, _ in turn["reasons"]] == ["host b1-h-1", "host b1-h-2"]
    assert all("memory" in reason or "CPU" in reason for _, reason in turn["reasons"])


def test_effects_have_the_time_until_all_had_answered() -> None:
    answer, _ = answer_to(running)
    calls = answer.chapters[0].calls
    assert [(call.step, call.took) for call in calls] == [("prepare", 5_000_000), ("domain", 1_250_000)]


def test_what_is_not_in_the_journal_is_said() -> None:
    rows = running().rows
    with pytest.raises(NotFound, match="no transition of vm 7-1"):
        why(rows, "vm", "7-1")
    half = [row for row in rows if row.seq <= 12]
    said = text(short(why(half, "vm", "1-1"), rows[-1].at, 80))
    assert "no answer is in the journal" in said
    tail = [row for row in rows if row.seq > 12]
    assert why(tail, "vm", "1-1").chapters[0].kind == "operation 1-0"


def test_a_journal_of_another_program_is_told_by_what_moved() -> None:
    """No operations, no decisions: rows as they are made of somebody's log."""
    rows = [
        msgspec.structs.replace(row, operation_id=None if row.seq % 2 else "job-7", detail=None, ledger="[]")
        for row in followed().rows
        if row.machine == "vm"
    ]
    said = text(short(why(rows, "vm", "1-1"), rows[-1].at, 80))
    assert said.splitlines()[3] == "because  crashes (host a1-h-1)"
    assert "vm 1-1: Running → Stopped by FollowAgentPowerOffReport" in said
    assert "of operation job-7" in said


# --- all of it


def numbers(said: str) -> list[int]:
    """The rows that a full answer names, as the beginnings of their own lines."""
    return [int(seq) for seq in re.findall(r"^ *(?:[\d.]+\w+ *)?#(\d+) \w+ \S+: ", said, re.MULTILINE)]


def whole(rows: list[Transition]) -> None:
    """A full answer about any entity has all rows, each once; the short one fits; and the document is JSON."""
    for entity in {row.entity_id: row.machine for row in rows}.items():
        answer = why(rows, entity[1], entity[0])
        assert sorted(numbers(text(full(answer, rows[-1].at)))) == [row.seq for row in rows]
        lines = short(answer, rows[-1].at, 80)
        assert len(lines) <= HEIGHT + 8, "only what must be said may take more"
        told = msgspec.json.decode(msgspec.json.encode(document(answer)))
        assert sorted(seq for chapter in told["chapters"] for seq in chapter["transitions"]) == [
            row.seq for row in rows
        ]


@pytest.mark.parametrize("made", STORIES, ids=lambda made: made.__name__)
def test_every_row_is_in_the_full_answer(made: Made) -> None:
    vm = ABOUT.get(made.__name__, "1-1")
    whole([row for row in made().rows if row.vm_id == vm])


def fuzzed(number: int, length: int = 150) -> list[Transition]:
    """The journal of a run in which all goes wrong that can."""
    universe = Universe(ground.setting(), WORKERS)
    chance = Chance("why", number, universe, a_mix("why", number))
    for _ in range(length):
        universe.happen(chance.next())
    for event in rest(universe):
        universe.happen(event)
    universe.close()
    return committed(universe.store.journal)


@given(number=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_every_row_of_any_history_is_in_the_full_answer(number: int) -> None:
    rows = fuzzed(number)
    assert sum(len(each.rows) for each in chapters(rows)) == len(rows)
    for vm in {row.vm_id for row in rows if row.vm_id}:
        whole([row for row in rows if row.vm_id == vm])


@given(number=st.integers(0, 10_000), data=st.data())
@settings(max_examples=6, deadline=None)
def test_rows_may_be_missing_anywhere(number: int, data: st.DataObject) -> None:
    rows = [row for row in fuzzed(number, 60) if row.vm_id == "1-1"] or running().rows
    kept = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique_by=lambda row: row.seq))
    whole(sorted(kept, key=lambda row: row.seq))


# --- the command


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.init()
    return made


def test_the_command_answers_for_vms_disks_and_operations(shell: Shell) -> None:
    shell("deploy", "web", *SMALL)
    said = shell("why", "web").out
    assert said.startswith("web Running  on ") and "asked by cli:" in said and "StartDomain at" in said
    told = shell("why", "web", "--json").json
    assert told["state"] == "Running" and told["chapters"][0]["kind"] == "deploy"
    [disk] = shell("disks", "--json").json
    assert shell("why", disk["id"]).out.startswith(f"volume {disk['name']} Ready")
    assert shell("why", told["operation"]).out.startswith("operation deploy Succeeded")
    assert "new → Allocated by Created" in shell("why", "web", "--full").out


def test_a_disk_that_was_never_a_vms(shell: Shell) -> None:
    cloud = described(shell.folder)
    cloud.write_text(cloud.read_text() + '\n[[disk_offerings]]\nname = "any"\n')
    shell("init", str(cloud))
    shell("create-disk", "spare", "--offering", "any", "--size", "1024", "--zone", "north")
    shell("delete-disk", "spare")
    said = shell("why", "spare").out
    assert said.startswith("volume spare Expunged") and "delete-disk Succeeded" in said and "create-disk" in said
    [first, *_] = shell("why", "spare", "--json").json["chapters"]
    assert shell("why", first["operation"]).out.startswith("operation create-disk Succeeded")


def test_what_has_ended_is_answered_for(shell: Shell) -> None:
    shell("deploy", "web", *SMALL)
    shell("destroy", "web")
    shell("expunge", "web")
    said = shell("why", "web").out
    assert said.startswith("web Expunged") and "may be asked" not in said
    assert "destroy Succeeded" in said and "deploy Succeeded" in said


def test_nobody_of_that_name(shell: Shell) -> None:
    assert "there is no VM, disk or operation 'nobody'" in shell("why", "nobody", exit=3).err


# --- its page

PAGE = Path(__file__).parent.parent / "docs" / "why.md"
CHANGING = ((r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"), (r"\d{4}-\d\d-\d\dT\S+", "TIME"))
MORE = ((r"#\d+", "#SEQ"), (r"[\d.]+(ms|s) ago", "AGE"), (r"cli:\w+", "cli:WHO"))


def scrubbed(line: str) -> str:
    """Without what differs from run to run."""
    for pattern, word in (*CHANGING, *MORE):
        line = re.sub(pattern, word, line)
    return line


def test_the_page_shows_what_the_commands_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path)
    cloud = str(described(tmp_path))
    [session] = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    commands = re.split(r"^\$ interlock ", session, flags=re.MULTILINE)[1:]
    assert len(commands) == 3
    for each in commands:
        typed, *shown = each.splitlines()
        args = typed.replace("examples/cloud.toml", cloud).split()
        said = shell(*args, exit=1 if args[0] == "deploy" else 0)
        assert [scrubbed(line) for line in said.out.splitlines()][: len(shown)] == [scrubbed(line) for line in shown]
    monkeypatch.chdir(tmp_path)
    [drawn] = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for typed in drawn.splitlines():
        shell(*typed.removeprefix("interlock ").split())
    assert all((tmp_path / name).read_text().startswith("<svg") for name in ("fleet.svg", "big-9.svg"))


def test_the_page_shows_a_stuck_operation() -> None:
    [shown] = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == (GOLDEN / "why-stuck.txt").read_text()
