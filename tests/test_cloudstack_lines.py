"""Every line that CloudStack writes about a state is read as what it says, in every release's words and layout."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.replay.foreign import layout, reading
from interlock.replay.foreign.checking import Checked, Checker, Trouble
from interlock.replay.foreign.fact import Fact
from interlock.replay.foreign.format import Kind
from interlock.replay.foreign.formats import FORMATS
from interlock.replay.foreign.lookup import BEGINNINGS, INSIDE
from interlock.replay.foreign.machines import machines
from interlock.replay.foreign.reading import Tally, facts, facts_of, merged
from interlock.replay.foreign.renderings import NOTHING, read
from interlock.schema.errors import NotFound
from tests.cloudstack_lines import HOST_LINES, LAYOUTS, OTHERS, VMS, Guest, Node, log4j1, log4j2, vm_new, vm_old

SAMPLE = Path(__file__).parent / "golden" / "cloudstack-log-sample.txt"
HOSTS = ((None, None, None), (Node(1), Node(2), None), (Node(1), None, Node(1)))


def read_all(lines: Iterable[str | bytes], tally: Tally | None = None) -> list[Fact]:
    """The facts of lines; that every line is counted once is held each time."""
    tally = Tally() if tally is None else tally
    found = list(facts((each if isinstance(each, bytes) else each.encode() + b"\n" for each in lines), tally))
    assert tally.lines == tally.understood + tally.unknown + tally.continuation
    assert len(found) == tally.understood == tally.formats.total()
    return found


def judged(lines: Iterable[str | bytes]) -> list[Checked]:
    """The facts of lines, checked."""
    return list(Checker().check_all(read_all(lines)))


def moves(name: str) -> list[tuple[str, str, str]]:
    """The rows of a machine of CloudStack's that are its own."""
    rows = [(move.source, move.event, move.destination) for move in machines()[name].moves]
    return [row for row in rows if not row[1].startswith("CreatedAs")]


# --- the sample


def test_every_line_of_the_sample_is_read_and_legal() -> None:
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    found = judged(lines)
    assert [each.fact.line for each in found] == list(range(1, len(lines) + 1)) and len(lines) == 7
    assert not [finding for each in found for finding in each.findings]
    assert [each.ours for each in found] == [each.fact.step[2] for each in found], "ours does the same"
    named = [each.whose.name for each in found if each.whose and not each.whose.passing]
    assert named == ["v-30806-VM", "i-2-3-VM", "i-2-4-VM"]
    assert found[3].fact.said["old_host"] == 'Host {"id":4,"name":"kvm4","type":"Routing"}'
    assert layout.as_written(found[0].fact.at) == "2018-09-07 14:18:35,955"


PLANTED = {
    "no such row": (2, vm_old(("Stopped", "OperationSucceeded", "Running"), HOSTS[0]), Trouble.ILLEGAL),
    "another destination": (4, vm_new(Guest(99), ("Running", "StopRequested", "Stopped"), HOSTS[1]), Trouble.ILLEGAL),
    "a state of nobody's": (7, vm_new(Guest(99), ("Runing", "StopRequested", "Stopping"), HOSTS[1]), Trouble.ILLEGAL),
    "it was elsewhere": (5, vm_new(Guest(3), ("Stopped", "StartRequested", "Starting"), HOSTS[1]), Trouble.GAP),
}


@pytest.mark.parametrize(("after", "message", "trouble"), PLANTED.values(), ids=PLANTED)
def test_what_is_planted_in_the_sample_is_reported_with_its_line(after: int, message: str, trouble: Trouble) -> None:
    lines = SAMPLE.read_text().splitlines()
    lines.insert(after, log4j1(message, job=4711))
    [finding] = [finding for each in judged(lines) for finding in each.findings]
    assert (finding.fact.line, finding.trouble) == (after + 1, trouble)
    assert finding.fact.step[0] in finding.words


# --- every transition, in every release's words


@pytest.mark.parametrize("era", VMS)
@pytest.mark.parametrize("written", LAYOUTS.values(), ids=LAYOUTS)
def test_every_vm_transition_since_4_16(era: str, written: type) -> None:
    for step, hosts, type in product(moves("cloudstack-vm"), HOSTS, ("User", "DomainRouter")):
        vm = Guest(6, type)
        [found] = judged([written(vm_new(vm, step, hosts, era))])
        assert found.fact.step == step and found.fact.kind is Kind.TRANSITION
        assert found.whose is not None and (found.whose.key, found.whose.name) == ("vm 6", vm.name)
        new = read(found.fact.said["new_host"])
        assert (new.id, new.name) == ((str(hosts[1].id), hosts[1].name) if hosts[1] else ("", ""))
        assert not [each for each in found.findings if each.trouble is not Trouble.ERA]


@pytest.mark.parametrize("third", [True, False])
@pytest.mark.parametrize("written", LAYOUTS.values(), ids=LAYOUTS)
def test_every_vm_transition_until_4_15(third: bool, written: type) -> None:
    for step, hosts in product(moves("cloudstack-vm"), HOSTS):
        [found] = judged([written(vm_old(step, hosts, third))])
        assert found.fact.step == step and found.fact.format.name == (
            "vm-transition-old" if third else "vm-transition-oldest"
        )
        assert found.fact.said["new_host"] == (str(hosts[1].id) if hosts[1] else "null")
        assert found.whose is not None and found.whose.name == "(VM of job-8)"
        early = step[1].startswith("FollowAgent") and (written.__name__ == "oldest" or not third)
        assert [each.trouble for each in found.findings] == ([Trouble.ERA] if early else [])


@pytest.mark.parametrize("name", HOST_LINES)
@pytest.mark.parametrize("written", LAYOUTS.values(), ids=LAYOUTS)
def test_every_transition_of_hosts(name: str, written: type) -> None:
    machine, message = HOST_LINES[name]
    for step in moves(machine):
        [found] = judged([written(message(Node(5), step), job=None)])
        assert (found.fact.format.name, found.fact.machine, found.fact.step) == (name, machine, step)
        assert found.whose is not None and found.whose.key == "host 5"
        assert not found.findings and found.ours is None


@pytest.mark.parametrize(("message", "says"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("written", LAYOUTS.values(), ids=LAYOUTS)
def test_every_other_line(message: str, says: dict[str, str], written: type) -> None:
    [found] = judged([written(message)])
    assert found.fact.format.name == says["format"]
    if "who" in says:
        assert found.whose is not None and found.whose.key == says["who"]
    told = {name: value for name, value in says.items() if name not in ("format", "who")}
    assert told.items() <= found.fact.said.items()
    assert not found.findings


def test_every_format_is_written_by_some_test() -> None:
    written = {says["format"] for _, says in OTHERS.values()} | set(HOST_LINES)
    assert written | {"vm-transition", "vm-transition-old", "vm-transition-oldest"} == {each.name for each in FORMATS}


def test_every_format_can_be_looked_for() -> None:
    """The cheap test before the patterns lets every format through."""
    for each in FORMATS:
        assert bool(each.begins) != bool(each.holds), each.name
        assert INSIDE.decode() in each.holds or all(begins.encode() in BEGINNINGS for begins in each.begins), each.name
        assert each.since and each.printed_by, each.name
        assert each.machine is None or each.machine in machines(), each.name


# --- renderings


@pytest.mark.parametrize("text", ["null", "", " null "])
def test_nothing_is_nothing(text: str) -> None:
    assert read(text) == NOTHING


def test_a_rendering_that_was_cut_gives_what_is_whole() -> None:
    assert read('VM instance {"id":"7","instanceName":"i-2-7-VM","ty').name == "i-2-7-VM"
    assert read('VM instance {id: "7", name: "i-2-7-VM", uu').name == "i-2-7-VM"
    assert (read("Host[-5-kvm-five-Routing]").id, read("Host[-5-kvm-five-Routing]").name) == ("5", "kvm-five")
    assert read("Host[-5-Routing]").id == "5"
    assert read("web server").name == "web server"


# --- records, and lines that are none

TRACE = [
    "com.cloud.utils.fsm.NoTransitionException: Unable to transition to a new state from Expunging via StartRequested",
    "\tat com.cloud.utils.fsm.StateMachine2.getTransition(StateMachine2.java:108)",
    "",
    "Caused by: java.lang.Exception: 2025-03-01 12:00:00,000 is not a record",
    "\t... 12 more",
]


def test_a_stack_trace_continues_its_record() -> None:
    tally = Tally()
    [transition, after] = read_all(
        [
            log4j2(vm_new(Guest(), ("Stopped", "StartRequested", "Starting"), HOSTS[0])),
            *TRACE[1:],
            log4j2(OTHERS["job queued"][0]),
        ],
        tally,
    )
    assert (transition.line, after.line, tally.continuation, tally.unknown) == (1, 6, 4, 0)


def test_a_refusal_in_a_stack_trace_is_read_once() -> None:
    tally = Tally()
    [refused] = judged_lines = read_all([log4j2("It went wrong", level="WARN"), *TRACE, TRACE[0]], tally)
    assert (refused.step[:2], refused.line, refused.format.name) == (("Expunging", "StartRequested"), 2, "refused")
    assert (tally.unknown, tally.continuation) == (1, 5) and len(judged_lines) == 1


def test_a_refusal_that_its_record_told_is_not_read_again() -> None:
    tally = Tally()
    found = read_all([log4j2(OTHERS["HA refused, old"][0]), TRACE[0].replace("Expunging", "Checking")], tally)
    assert [each.format.name for each in found] == ["host-ha-refused"] and tally.continuation == 1


def test_line_ends_and_bytes_do_not_matter() -> None:
    message = vm_new(Guest(), ("Stopped", "StartRequested", "Starting"), HOSTS[1])
    for line in (
        log4j2(message).encode() + b"\r\n",
        b"\xef\xbb\xbf" + log4j2(message).encode(),
        log4j2(message).encode(),
    ):
        [fact] = read_all([line])
        assert fact.step[2] == "Starting" and not fact.said["old_host"].endswith("\r")
    [fact] = read_all([log4j2(message).encode().replace(b"kvm2", b"kvm\xff\xfe2")])
    assert read(fact.said["new_host"]).name == "kvm��2, rack 1; [a]"


def test_a_day_that_is_none_gives_no_time() -> None:
    [fact] = read_all([log4j2(OTHERS["job queued"][0]).replace("2025-03-01", "2025-02-30")])
    assert fact.at is None and layout.as_written(fact.at) == ""


def test_behind_a_syslog_header_the_date_may_be_missing() -> None:
    line = "Mar  1 12:00:00 ms1 java[7]: INFO  [c.c.c.X] (Thread-1:[]) (logid:) " + OTHERS["job queued"][0]
    [fact] = read_all([line])
    assert fact.format.name == "job-queued" and fact.at is None


def test_lines_not_understood_are_listed_by_shape() -> None:
    tally = Tally()
    lines = [log4j2(f"Seq {number}-77: Sending to {number}") for number in range(50)]
    read_all(["what is this", *lines, log4j2("The moon transitions to full"), log4j2("Bye")], tally)
    assert [(name, shape.count, shape.near) for name, shape in tally.listed()] == [
        ("[c.c.c.CapacityManagerImpl] The moon transitions to full", 1, True),
        ("[c.c.c.CapacityManagerImpl] Seq ", 50, False),
        ("(no time, level, logger and thread)", 1, False),
        ("[c.c.c.CapacityManagerImpl] Bye", 1, False),
    ]
    assert [shape.line for _, shape in tally.listed()] == [52, 2, 1, 53]


def test_shapes_are_limited_and_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SHAPES", 10)
    tally = Tally()
    names = ["".join(letters) for letters in product("abcdef", repeat=3)]
    read_all([log4j2(f"{name} is unknown") for name in names], tally)
    assert tally.unknown == len(names) == 216 and len(tally.shapes) == 11
    assert dict(tally.listed())["(others)"].count == 206


# --- garbage

REAL = st.sampled_from([log4j2(message) for message, _ in OTHERS.values()] + SAMPLE.read_text().splitlines() + TRACE)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A real line, cut, doubled, or with other bytes in it."""
    line = draw(REAL).encode()
    begin, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
    return draw(
        st.sampled_from([line[:end], line[begin:], line[:begin] + draw(st.binary(max_size=9)) + line[end:], line * 2])
    )


@given(st.lists(st.one_of(st.binary(max_size=40), spoilt(), REAL.map(str.encode)), max_size=30))
def test_no_line_raises_and_every_line_is_counted_once(lines: list[bytes]) -> None:
    text = b"\n".join(lines)
    split = [each + b"\n" for each in text.split(b"\n")] + [b""]
    tally = Tally()
    found = read_all(split, tally)
    assert tally.lines == len(split)
    for each in Checker().check_all(found):
        assert each.fact.format in FORMATS


@pytest.mark.parametrize("begins", [each.begins[0] for each in FORMATS if each.begins])
def test_a_message_that_only_begins_like_one_costs_little(begins: str) -> None:
    """Patterns of many open parts must not try them all."""
    rest = ", old used: 1, reserved: 1, total: 1; new used: 1, reserved: 1; [id = 1; name = x; " * 120
    tally = Tally()
    read_all([log4j2(begins + rest)], tally)
    assert tally.lines == 1


# --- files


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_files_may_be_compressed(tmp_path: Path, pack: type) -> None:
    path = tmp_path / "management-server.log.2024-01-01"
    path.write_bytes(pack(SAMPLE.read_bytes()))
    assert len(list(facts_of(str(path), Tally()))) == 7


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_comes_before_damage_is_read_and_the_damage_is_told(tmp_path: Path, pack: type) -> None:
    path, tally = tmp_path / "cut.log", Tally()
    whole = pack(b"".join(log4j2(f"Seq {number}: x").encode() + b"\n" for number in range(20_000)))
    path.write_bytes(whole[: len(whole) // 2])
    assert list(facts_of(str(path), tally)) == []
    assert len(tally.damaged) == 1 and str(path) in tally.damaged[0]
    if pack is gzip.compress:
        assert 0 < tally.lines < 20_000


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no\.log cannot be read"):
        list(merged([str(SAMPLE), str(tmp_path / "no.log")], Tally()))


def test_a_line_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.replay.foreign.lines.LONGEST", 4096)
    path, tally = tmp_path / "long.log", Tally()
    path.write_text(log4j2("Seq 1: " + "x" * 50_000) + "\n" + SAMPLE.read_text())
    assert len(list(facts_of(str(path), tally))) == 7
    assert (tally.lines, tally.unknown) == (8, 1)


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    rows = [vm_new(Guest(n % 3 + 1), ("Running", "FollowAgentPowerOnReport", "Running"), HOSTS[1]) for n in range(30)]
    lines = [log4j2(message, number) for number, message in enumerate(rows)]
    for name, part in (("a", lines[1::2]), ("b", lines[0::2])):
        (tmp_path / name).write_text("\n".join(part) + "\n")
    found = list(merged([str(tmp_path / "a"), str(tmp_path / "b")], Tally()))
    assert [each.at for each in found] == sorted(each.at or 0 for each in found) and len(found) == 30
    assert {each.file for each in found} == {str(tmp_path / "a"), str(tmp_path / "b")}
