"""Timelines and the fleet over time: the models say what the journal says, and any picture is legible."""

from __future__ import annotations

import asyncio
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlock import Engine
from interlock.cli import charts, telling
from interlock.pictures import fleet, lifelines
from interlock.pictures.axis import STEPS, axis, ticks
from interlock.pictures.ink import ADVANCE
from interlock.pictures.sheet import WIDTH
from interlock.pictures.thinning import thinned
from interlock.pictures.tones import Tone, tone
from interlock.replay.census import BUCKETS, GONE, census
from interlock.replay.lanes import Kind, Timeline, timeline
from interlock.replay.why import why
from interlock.schema.cloud import Host
from interlock.schema.machine import Stability
from interlock.schema.machines import MACHINES
from interlock.schema.transition import Transition
from interlock.testing.fuzz import ground
from tests.command import Shell
from tests.stories import STORIES, Story, expunged, followed, refused, running, stuck, unknown
from tests.test_why import fuzzed

CAPACITY = {each.id: each.memory_mib for each in ground.places() if isinstance(each, Host)}
PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "timeline.svg"
SVG = "{http://www.w3.org/2000/svg}"
MINUTE = 60_000_000
BEGIN = 1_700_000_000_000_000


def of_vm(rows: list[Transition], vm: str = "1-1", until: int | None = None) -> Timeline:
    return timeline([row for row in rows if row.vm_id == vm], vm, until)


def told(story: Story) -> Timeline:
    return of_vm(story.rows, until=story.universe.now)


def marks(model: Timeline) -> Counter[Kind]:
    return Counter(mark.kind for lane in model.lanes for mark in lane.marks)


# --- the axis


@given(
    length=st.integers(0, 10**14),
    idle=st.lists(st.integers(0, 10**14), max_size=30, unique=True),
    at=st.lists(st.integers(-(10**13), 2 * 10**14), min_size=2),
)
def test_time_goes_from_left_to_right_and_stays_inside(length: int, idle: list[int], at: list[int]) -> None:
    ends = sorted(idle)
    gaps = list(zip(ends[::2], ends[1::2], strict=False))
    whole = axis(0, length, 1000.0, gaps)
    places = [whole.x(moment) for moment in sorted(at)]
    assert all(before <= after + 1e-6 for before, after in pairwise(places))
    assert min(places) >= -1e-6 and max(places) <= 1000.0 + 1e-6
    for piece in whole.pieces:
        assert whole.x(piece.begin) == pytest.approx(piece.left, abs=1e-6)


@given(begin=st.integers(0, 2 * 10**15), length=st.integers(1, 10**15), hours=st.integers(-11, 13))
def test_ticks_are_round_and_apart(begin: int, length: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    whole = axis(begin, begin + length, 1000.0)
    found = ticks(whole, 100.0, zone)
    assert list(STEPS) == sorted(STEPS)
    assert len(found) <= 11
    assert all(after[0] - before[0] >= 100.0 for before, after in pairwise(found))
    assert len(found) >= 1


def test_ticks_are_of_the_readers_clock() -> None:
    whole = axis(BEGIN, BEGIN + 30 * MINUTE, 1000.0)
    assert [label for _, label in ticks(whole, 150.0)] == ["22:15", "22:20", "22:25", "22:30", "22:35", "22:40"]
    [(_, first), *_] = ticks(whole, 150.0, timezone(timedelta(hours=5, minutes=30)))
    assert first == "03:45"


def test_idle_times_leave_room_for_what_happened() -> None:
    """Six seconds of deploy in an hour have most of the picture."""
    model = told(STORIES[0]())
    whole = axis(model.begin, model.end, 1000.0, model.idle)
    assert [round((piece.end - piece.begin) / 1e6) for piece in whole.breaks] == [3600]
    assert whole.x(model.begin + 6_250_000) > 900


# --- the model


@given(number=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_lanes_say_what_the_journal_says(number: int) -> None:
    rows = fuzzed(number)
    for vm in {row.vm_id for row in rows if row.vm_id}:
        own = [row for row in rows if row.vm_id == vm]
        model = timeline(own, vm)
        entities = {(row.machine, row.entity_id) for row in own if row.machine != "operation"}
        lanes = [lane for lane in model.lanes if lane.machine != "operation"]
        assert len(lanes) + model.more >= len(entities) >= len(lanes)
        for lane in lanes:
            assert all(before.end == after.begin for before, after in pairwise(lane.spans))
            assert lane.spans[-1].end == model.end
        operations = [span for lane in model.lanes if lane.machine == "operation" for span in lane.spans]
        changed = [row for row in own if row.machine == "operation" and row.source != row.destination]
        assert Counter(span.state for span in operations) == Counter(row.destination for row in changed)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (refused, {Kind.FAULT: 3, Kind.RETRY: 1}),
        (stuck, {Kind.FAULT: 2, Kind.STUCK: 1}),
        (followed, {Kind.REPORT: 1}),
        (unknown, {Kind.FAULT: 3, Kind.RETRY: 2, Kind.REPORT: 1}),
        (expunged, {}),
    ],
)
def test_what_befell_is_marked(made: Callable[[], Story], expected: dict[Kind, int]) -> None:
    assert marks(told(made())) == Counter(expected)


def test_the_page_shows_a_story() -> None:
    """To make it anew: `python -m tests.stories`."""
    assert lifelines.as_svg(told(refused())) == PICTURE.read_text()


def test_operations_that_follow_each_other_share_a_lane() -> None:
    [lane] = [lane for lane in told(expunged()).lanes if lane.machine == "operation"]
    kinds = [span.label.split()[0] for span in lane.spans if span.state == "Queued"]
    assert kinds == ["deploy", "stop", "destroy", "expunge"]


def test_tones_follow_the_machines() -> None:
    for machine in MACHINES.values():
        for name in machine.names(Stability.TRANSITIONAL):
            assert tone(machine.name, name) is Tone.MOVING
    assert tone("vm", "Error") is Tone.BAD and tone("operation", "Stuck") is Tone.BAD
    assert tone("vm", "Running") is Tone.LIVE and tone("vm", "Expunged") is Tone.OVER
    assert tone("nobody's", "Whatever") is Tone.RESTING


# --- SVG


def texts(svg: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{SVG}text"))


def assert_legible(svg: str) -> None:
    """It is XML, and no text leaves the sheet or stands on another one of its line."""
    height = float(ET.fromstring(svg).attrib["height"])
    lines: dict[str, list[tuple[float, float]]] = {}
    for each in texts(svg):
        width = len(each.text or "") * float(each.attrib["font-size"]) * ADVANCE
        anchor = {"middle": width / 2, "end": width}.get(each.attrib.get("text-anchor", ""), 0.0)
        left, y = float(each.attrib["x"]) - anchor, float(each.attrib["y"])
        assert left >= 0 and left + width <= WIDTH and 0 < y < height, each.text
        lines.setdefault(each.attrib["y"], []).append((left, left + width))
    for line in lines.values():
        for before, after in pairwise(sorted(line)):
            assert before[1] <= after[0] + 1, line


@pytest.mark.parametrize("made", STORIES, ids=lambda made: made.__name__)
def test_a_story_is_legible(made: Callable[[], Story]) -> None:
    story = made()
    assert_legible(lifelines.as_svg(told(story)))
    assert_legible(fleet.as_svg(census(story.rows).picture("fleet", CAPACITY)))


@given(number=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_any_history_is_legible(number: int) -> None:
    rows = fuzzed(number)
    for vm in {row.vm_id for row in rows if row.vm_id}:
        model = of_vm(rows, vm)
        svg = lifelines.as_svg(model)
        assert_legible(svg)
        drawn = {(each.text or "") for each in texts(svg)}
        assert {lane.name for lane in model.lanes if len(lane.name) <= 30} <= drawn
    assert_legible(fleet.as_svg(census(rows).picture("fleet", CAPACITY)))


HOSTILE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(words=HOSTILE)
@example(words='</text><script>alert("&")</script>')
@example(words='"\x1b[31m\n')
@settings(max_examples=15, deadline=None)
def test_whatever_is_in_the_journal_is_text(words: str) -> None:
    """A name, a cause, a state, a host's id: none becomes markup, and none breaks the picture."""
    rows = [_renamed(row, words) for row in EVIL_ROWS]
    model = timeline(rows, words)
    for svg in (
        lifelines.as_svg(model),
        fleet.as_svg(census(rows).picture(words, {words: 1024, "a1-h-1": 1024})),
    ):
        root = ET.fromstring(svg)
        assert not [each for each in root.iter() if each.tag.endswith("script")]
        assert words.isascii() is False or words.isprintable() is False or words in "".join(root.itertext())


@given(words=HOSTILE)
@example(words="\x1b[31m\nroot@host:~# ")
@settings(max_examples=15, deadline=None)
def test_nothing_in_the_journal_moves_the_cursor(words: str) -> None:
    rows = [_renamed(row, words) for row in EVIL_ROWS]
    answer, now = why(rows, "vm", "1-1"), rows[-1].at
    picture = census(rows).picture(words, {words: 1024})
    for line in (
        *telling.short(answer, now, 80),
        *telling.full(answer, now),
        *charts.lifelines(timeline(rows, words), UTC, 80),
        *charts.fleet(picture, UTC, 80),
    ):
        said = "".join(shown for shown, _ in line)
        assert not [char for char in said if unicodedata.category(char) == "Cc"], said


EVIL_ROWS = followed().rows


def _renamed(row: Transition, words: str) -> Transition:
    changes = row.changed
    if "name" in changes:
        changes["name"] = words
    cause, state = (words, words) if row.cause else (None, row.destination)
    encoded = msgspec.json.encode(changes).decode()
    return msgspec.structs.replace(row, changes=encoded, cause=cause, destination=state)


def long_life(count: int) -> list[Transition]:
    """A VM that is stopped and started for ever."""
    rows, states = expunged().rows, ["Running", "Stopping", "Stopped", "Starting"]
    vm = next(row for row in rows if row.machine == "vm")
    return [
        msgspec.structs.replace(
            vm,
            seq=number + 1,
            at=BEGIN + number * MINUTE,
            operation_id=None,
            source=states[(number - 1) % 4] if number else "",
            destination=states[number % 4],
            event="StopRequested",
        )
        for number in range(count)
    ]


def test_a_long_history_is_a_small_picture() -> None:
    model = timeline(long_life(20_000), "old")
    [lane] = model.lanes
    assert len(lane.spans) == 20_000
    whole = axis(model.begin, model.end, 1000.0, model.idle)
    seen = thinned(lane.spans, whole, 3.0)
    assert len(seen) <= 2 * 1000 / 3 + 2
    assert sum(span.states for span in seen) == 20_000, "what is merged is counted"
    assert len(lifelines.as_svg(model)) < 150_000


# --- the fleet


def assert_counts(rows: list[Transition]) -> None:
    """Against a count that keeps every row: the states at the end of each piece, the most held, the failures."""
    picture = census(rows).picture("fleet", CAPACITY)
    assert len(picture.states) <= BUCKETS
    states: dict[str, str] = {}
    held: Counter[str] = Counter()
    place, now = 0, 0
    for piece in range(len(picture.states)):
        until = picture.begin + (piece + 1) * picture.width
        most = dict(held)
        while place < len(rows) and max(now, rows[place].at) < until:
            row, now = rows[place], max(now, rows[place].at)
            place += 1
            if row.machine == "vm":
                states[row.entity_id] = row.destination
                for moved in row.movements:
                    if moved.thing == "memory":
                        held[moved.where] += moved.amount if moved.giver == "free" else -moved.amount
                        most[moved.where] = max(most.get(moved.where, 0), held[moved.where])
        living = {state: count for state, count in Counter(states.values()).items() if state not in GONE}
        assert dict(picture.states[piece]) == living
        for host, total in CAPACITY.items():
            assert picture.hosts[host][piece] == most.get(host, 0) / total
    assert place == len(rows)
    failures = [
        row for row in rows if row.machine == "operation" and row.event in ("OperationFailed", "OperationStuck")
    ]
    assert sum(picture.failed) == len(failures)


@given(number=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_the_census_counts_what_the_journal_says(number: int) -> None:
    assert_counts(fuzzed(number))


@given(
    moved=st.lists(
        st.tuples(st.integers(0, 2_000), st.sampled_from(["a1-h-1", "a1-h-2"]), st.integers(1, 9)), min_size=1
    )
)
@settings(max_examples=50, deadline=None)
def test_what_was_held_for_a_moment_is_seen_however_coarse_the_picture(moved: list[tuple[int, str, int]]) -> None:
    """VMs come and go at once: what pieces of time hold at their ends says nothing of what was in them."""
    first = next(row for row in running().rows if row.machine == "vm")
    rows, now = list[Transition](), BEGIN
    for number, (later, host, amount) in enumerate([*moved, (10_000_000, "a1-h-1", 1)]):
        now += later
        for taken, (giver, taker) in enumerate((("free", "vm"), ("vm", "free"))):
            source = "Allocated" if rows else ""
            ledger = msgspec.json.encode([["memory", host, giver, taker, amount]]).decode()
            rows.append(
                msgspec.structs.replace(first, seq=2 * number + taken + 1, at=now + taken, ledger=ledger, source=source)
            )
    assert_counts(rows)


def test_a_fleet_that_is_old_is_a_small_picture() -> None:
    rows = long_life(60_000)
    counted = census(rows)
    picture = counted.picture("old", CAPACITY)
    assert BUCKETS / 2 <= len(picture.states) <= BUCKETS
    assert picture.rows == 60_000
    assert len(fleet.as_svg(picture)) < 60_000


def test_of_many_hosts_the_fullest_are_shown() -> None:
    hosts = {f"h-{number:03}": (number / 100,) for number in range(100)}
    assert list(fleet.shown(hosts)) == [f"h-{number:03}" for number in range(68, 100)]


# --- in the terminal


@pytest.mark.parametrize("width", [80, 132, None])
def test_lines_fit_the_terminal(width: int | None) -> None:
    for made in STORIES:
        story = made()
        drawn = charts.lifelines(told(story), UTC, width)
        lanes = ["".join(words for words, _ in line) for line in drawn]
        drawn_lanes = [line for line in lanes if width or line.startswith(("vm", "nic", "volume", "operation"))]
        assert max(map(len, drawn_lanes)) <= (width or charts.PIPED)
        picture = census(story.rows).picture("fleet", CAPACITY)
        lines = ["".join(words for words, _ in line) for line in charts.fleet(picture, UTC, width)]
        assert max(map(len, lines)) <= (width or charts.PIPED)


def test_a_story_in_characters() -> None:
    drawn = "\n".join(
        "".join(words for words, _ in line).rstrip() for line in charts.lifelines(told(refused()), UTC, 100)
    )
    assert re.search(r"^vm VM-1-1 +Starting▒+Running━*$", drawn, re.MULTILINE)
    assert re.search(r"^ +▲○? +▲ +▲$", drawn, re.MULTILINE)
    assert drawn.count("StartDomain vm 1-1 at a1-h-1: permanent") == 1
    assert "▲ refused, or no answer" in drawn and "○ tries again" in drawn and "◆" not in drawn


# --- the command


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell.with_web(tmp_path)


def test_the_command_draws_a_vm_and_the_fleet(shell: Shell, tmp_path: Path) -> None:
    assert "vm web" in shell("timeline", "web").out
    assert "MEMORY HELD" in shell("timeline").out
    assert_legible(shell("timeline", "web", "--format", "svg").out)
    file = tmp_path / "fleet.svg"
    shell("timeline", "-o", str(file))
    assert_legible(file.read_text())
    assert "north-host-1" in file.read_text()


def test_what_cannot_be_drawn_is_said(shell: Shell, tmp_path: Path) -> None:
    empty = str(tmp_path / "empty.db")

    async def made() -> None:
        async with Engine.open(empty):
            pass

    asyncio.run(made())
    assert "no transition yet" in shell("timeline", "--db", empty, exit=3).err
    assert "no VM, disk or operation 'nobody'" in shell("timeline", "nobody", exit=3).err
    assert "has no JSON" in shell("timeline", "--json", exit=2).err
    assert "gone/x.svg" in shell("timeline", "-o", str(tmp_path / "gone" / "x.svg"), exit=2).err
