"""The pictures: every form shows the same states and the same transitions, and can be read by people.

Each form is read back by a small reader of its own and compared with the machine. That a picture is pleasant
no test can say; that its boxes keep apart and its text fits, one can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.pictures.layers import Size, layered
from interlock.pictures.machine import as_dot, as_json, as_mermaid, as_rows, as_svg
from interlock.pictures.ordering import crossings, neighbours, ordered
from interlock.pictures.placing import Box, placed
from interlock.pictures.words import duration
from interlock.schema.interlocks import INTERLOCKS
from interlock.schema.machine import Machine, Overdue, machine, stable, terminal, transitional
from interlock.schema.machines import MACHINES, TABLE_VERSION

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"

Moves = list[tuple[str, str, str]]
Shown = tuple[str, dict[str, str], Moves]
"""The initial state, each state with its class, and the transitions, sorted."""

every_machine = pytest.mark.parametrize("each", MACHINES.values(), ids=MACHINES)


def declared(each: Machine) -> Shown:
    """What a picture has to show."""
    moves = [(move.source, move.event, move.destination) for move in each.moves]
    return each.initial, {state.name: state.stability.value for state in each.states.values()}, sorted(moves)


def read_json(each: Machine) -> Shown:
    """What the JSON document says."""
    document = json.loads(as_json(each))
    moves = [(row["source"], row["event"], row["destination"]) for row in document["transitions"]]
    return document["initial"], {row["name"]: row["class"] for row in document["states"]}, sorted(moves)


def read_mermaid(each: Machine) -> Shown:
    """What the Mermaid text says."""
    text = as_mermaid(each)
    arrows = re.findall(r"^ +(\w+) --> (\w+) : (.+)$", text, re.MULTILINE)
    moves = [(source, name, end) for source, end, label in arrows for name in label.split("<br/>")]
    [initial] = re.findall(r"\[\*\] --> (\w+)$", text, re.MULTILINE)
    return initial, dict(re.findall(r"^ +class (\w+) (\w+)$", text, re.MULTILINE)), sorted(moves)


def read_dot(each: Machine) -> Shown:
    """What the DOT text says."""
    text = as_dot(each)
    arrows = re.findall(r'^ +"(\w+)" -> "(\w+)" \[label="(.+)"\];$', text, re.MULTILINE)
    moves = [(source, name, end) for source, end, label in arrows for name in label.split(r"\n")]
    [initial] = re.findall(r'"" -> "(\w+)"', text)
    return initial, dict(re.findall(r'^ +"(\w+)" \[label=.*class=(\w+)', text, re.MULTILINE)), sorted(moves)


def read_svg(each: Machine) -> Shown:
    """What the SVG picture shows: the attributes, where the text they stand on says the same."""
    root = ElementTree.fromstring(as_svg(each))
    moves = [
        (text.attrib["data-source"], text.text or "", text.attrib["data-destination"])
        for text in root.iter(f"{SVG}text")
        if text.text == text.attrib.get("data-event")
    ]
    states = {
        group.attrib["data-state"]: group.attrib["data-stability"]
        for group in root.iter(f"{SVG}g")
        if group.attrib.get("data-state") in {text.text for text in group.iter(f"{SVG}text")}
    }
    [initial] = [group.attrib["data-initial"] for group in root.iter(f"{SVG}g") if "data-initial" in group.attrib]
    return initial, states, sorted(moves)


READERS = {"json": read_json, "mermaid": read_mermaid, "dot": read_dot, "svg": read_svg}


@every_machine
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_form_shows_the_machine(each: Machine, read: Callable[[Machine], Shown]) -> None:
    assert read(each) == declared(each)


@every_machine
def test_the_rows_show_the_machine(each: Machine) -> None:
    rows = as_rows(each)
    _, states, moves = declared(each)
    assert {row[0]: row[1].split(",")[0] for row in rows} == states
    assert sorted((row[0], row[2], row[3]) for row in rows if row[2]) == moves


@every_machine
def test_every_deadline_is_shown_to_people(each: Machine) -> None:
    forms = [as_mermaid(each), as_dot(each), as_svg(each), "\n".join(row[1] for row in as_rows(each))]
    for state in each.states.values():
        if state.within and state.overdue:
            assert all(f"{duration(state.within)}, then {state.overdue}" in form for form in forms)


def test_a_deadline_is_told_in_the_largest_unit_that_fits() -> None:
    told = [duration(seconds) for seconds in (1, 59, 60, 90, 1800, 3600, 5400, 86400)]
    assert told == ["1 s", "59 s", "1 min", "90 s", "30 min", "1 h", "90 min", "24 h"]


# The JSON document


@every_machine
def test_the_document_is_the_published_one(each: Machine) -> None:
    path = GOLDEN / f"machine-{each.name}.json"
    assert as_json(each) == path.read_text(encoding="utf-8"), (
        f"the {each.name} machine is no longer the published one. If that is meant: raise TABLE_VERSION when "
        f"a transition changed, then run "
        f"`interlock machines {each.name} --format json > tests/golden/{path.name}`"
    )


@every_machine
def test_the_document_has_deadlines_versions_and_interlocks(each: Machine) -> None:
    document = json.loads(as_json(each))
    assert (document["format"], document["table_version"]) == (1, TABLE_VERSION)
    for state in document["states"]:
        known = each.states[state["name"]]
        assert (state["deadline_seconds"], state["overdue"]) == (known.within, known.overdue)
    locked = [row for row in INTERLOCKS if row.machine == each.name]
    assert [row["state"] for row in document["interlocks"]] == [row.state for row in locked]
    assert [len(row["needs"]) for row in document["interlocks"]] == [len(row.needs) for row in locked]


# The SVG picture


ODD = machine(
    "odd",
    initial="A&B",
    states=[
        stable("A&B"),
        transitional('"Busy"', within=90, overdue=Overdue.STICK),
        terminal("<end>"),
    ],
    moves="""
        A&B     go&come   "Busy"
        A&B     <tick>    A&B
        "Busy"  "done"    <end>
    """,
)


@pytest.mark.parametrize("each", [*MACHINES.values(), ODD], ids=[*MACHINES, "odd"])
def test_the_picture_is_well_formed_and_the_same_each_time(each: Machine) -> None:
    root = ElementTree.fromstring(as_svg(each))
    assert root.tag == f"{SVG}svg"
    assert as_svg(each) == as_svg(each)
    assert read_svg(each) == declared(each)


def rectangles(root: ElementTree.Element, kind: str) -> list[Box]:
    """The boxes of a class, as (left, top, width, height)."""
    groups = [group for group in root.iter(f"{SVG}g") if group.attrib.get("class") == kind]
    found = [rect.attrib for group in groups for rect in group.iter(f"{SVG}rect")]
    return [Box(*(float(rect[name]) for name in ("x", "y", "width", "height"))) for rect in found]


@every_machine
def test_no_box_covers_another_and_all_are_in_view(each: Machine) -> None:
    root = ElementTree.fromstring(as_svg(each))
    boxes = rectangles(root, "state") + rectangles(root, "arrow")
    assert len(boxes) == len(each.states) + len([pair for pair in each.steps() if pair[0] != pair[1]])
    for one, other in combinations(boxes, 2):
        assert apart(one.x, one.width, other.x, other.width) or apart(one.y, one.height, other.y, other.height)
    _, _, width, _ = map(float, root.attrib["viewBox"].split())
    assert all(box.x >= 0 and box.x + box.width <= width for box in boxes)


def apart(one: float, its_length: float, other: float, other_length: float) -> bool:
    """Whether two stretches do not meet."""
    return one + its_length <= other or other + other_length <= one


@every_machine
def test_text_stays_in_its_box(each: Machine) -> None:
    root = ElementTree.fromstring(as_svg(each))
    for group in root.iter(f"{SVG}g"):
        if group.attrib.get("class") not in ("state", "arrow"):
            continue
        [rect] = group.iter(f"{SVG}rect")
        left, right = float(rect.attrib["x"]), float(rect.attrib["x"]) + float(rect.attrib["width"])
        top, bottom = float(rect.attrib["y"]), float(rect.attrib["y"]) + float(rect.attrib["height"])
        for text in group.iter(f"{SVG}text"):
            long = len(text.text or "") * 0.6 * float(text.attrib["font-size"])
            start = float(text.attrib["x"]) - (long / 2 if text.attrib.get("text-anchor") == "middle" else 0)
            assert left <= start and start + long <= right
            assert top < float(text.attrib["y"]) < bottom


# The layout


NAMES = "ABCDEFG"
BOX, LABEL = Size(100.0, 40.0), Size(60.0, 20.0)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """States and arrows between different ones; every state can be reached from the first."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    tree = [(names[draw(st.integers(0, at - 1))], names[at]) for at in range(1, len(names))]
    pairs = [(a, b) for a in names for b in names if a != b]
    more = draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []
    return names, list(dict.fromkeys(tree + more))


@given(graphs())
def test_any_machine_can_be_laid_out(graph: tuple[str, list[tuple[str, str]]]) -> None:
    names, arrows = graph
    drawing = layered(dict.fromkeys(names, BOX), dict.fromkeys(arrows, LABEL), names[0])
    order = ordered(drawing)
    _, below = neighbours(drawing.chains)
    assert crossings(order, below) <= crossings([list(layer) for layer in drawing.layers], below)
    picture = placed(drawing)
    assert set(picture.states) == set(names)
    assert set(picture.labels) == set(arrows) == {line.arrow for line in picture.lines}
    boxes = [*picture.states.values(), *picture.labels.values()]
    for one, other in combinations(boxes, 2):
        assert far(one.x, one.width, other.x, other.width) or far(one.y, one.height, other.y, other.height)


def far(one: float, its_length: float, other: float, other_length: float) -> bool:
    """Whether two stretches, given by their middles, do not meet."""
    return abs(one - other) >= (its_length + other_length) / 2 - 1e-6


@given(graphs())
def test_a_line_runs_from_its_source_to_its_destination(graph: tuple[str, list[tuple[str, str]]]) -> None:
    names, arrows = graph
    picture = placed(layered(dict.fromkeys(names, BOX), dict.fromkeys(arrows, LABEL), names[0]))
    for line in picture.lines:
        source, destination = (picture.states[name] for name in line.arrow)
        assert on_edge(source, line.pieces[0].start)
        assert on_edge(destination, line.pieces[-1].end)


def on_edge(box: Box, at: tuple[float, float]) -> bool:
    """Whether a point lies on the upper or lower side of a box."""
    sideways, upright = abs(at[0] - box.x), abs(at[1] - box.y)
    return sideways <= box.width / 2 and abs(upright - box.height / 2) < 1e-6
