"""The frame of the benchmarks: modules run one by one, results in one shape, targets, pictures, figures in README.md.

What is run here is tiny. Counts and shapes, never times.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as suite_command
from benchmarks import command, drawing, readme, report, running
from benchmarks.command import LEFT_OUT, Measured, Missing, Wrong, begin, ended, parser
from benchmarks.machine import Machine, Watch
from benchmarks.result import Curve, Line, Point, Result, Spread, figure, flat, line, linear
from benchmarks.running import Failed, Summary, kept
from benchmarks.suite import MODULES, Module, Size, chosen
from benchmarks.targets import TARGETS, Target, judged

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
TINY = Module("logs", "a tiny log", quick=Size(0.1, "--lines 500 --rounds 2"), full=Size(1, "--lines 900 --rounds 2"))
BROKEN = Module("planning", "what cannot be", quick=Size(0.1, "--hosts 1 --decisions 1"), full=Size(1, "--hosts 1"))
MISTYPED = Module("journal", "no such option", quick=Size(0.1, "--no-such-option"), full=Size(1))
LONG = Module("deploys", "never in the quick suite", quick=None, full=Size(60))

amounts = st.floats(0.001, 1e7)
every_module = pytest.mark.parametrize("module", MODULES, ids=[each.name for each in MODULES])


def a_result(module: str = "logs", **changed: object) -> Result:
    machine = Machine(
        cpu="a|b", cores=2, ram_gib=4, system="Linux", python="CPython 3.11", sqlite="3.40", folder="x", fsync_ms=0.1
    )
    plain = Result(
        module=module,
        command=f"python -m benchmarks.{module}",
        date="2026-11-23T14:00:00+00:00",
        version="1",
        commit="abc",
        seconds=1,
        machine=machine,
        settings={"lines": 1000},
        figures=[figure("speed", "1/s", [1.0, 3.0, 2.0], {"floor": [4.0, 4.0, 4.0]})],
    )
    return msgspec.structs.replace(plain, **changed)


# --- modules are run


def test_the_suite_runs_each_module_and_gathers_what_they_wrote(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two of the three fail, each in its way; the one between them has its figures all the same."""
    arguments = [f"--results={tmp_path}", f"--keep={tmp_path / 'kept.json'}"]
    assert suite_command.main(arguments, [BROKEN, TINY, MISTYPED, LONG]) == 1
    written = running.read(tmp_path / "suite.json")
    [result] = written.results
    assert result.module == "logs" and result.command == "python -m benchmarks.logs --lines 500 --rounds 2"
    assert {each.rounds for each in result.figures} == {1, 2}
    assert [(each.module, each.exit_code) for each in written.failed] == [("planning", 1), ("journal", 2)]
    assert running.read(tmp_path / "kept.json").results == [result]
    printed = capfd.readouterr().out
    assert printed.index("$ python -m benchmarks.planning") < printed.index("$ python -m benchmarks.logs")
    for words in ("processor time of a line, µs", "split into lines alone", result.command, "planning failed with"):
        assert words in printed.partition("targets: ")[0] + printed.rpartition("targets: ")[2]
    assert "benchmarks.deploys" not in printed


def test_what_an_earlier_run_left_is_not_taken_for_this_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs.json").write_bytes(msgspec.json.encode(a_result()))
    monkeypatch.setattr(running, "_called", lambda _: 0)
    assert isinstance(running.run(TINY, Size(1), tmp_path), Failed)


def test_a_suite_that_is_cut_short_has_kept_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def called(arguments: Sequence[str]) -> int:
        if "benchmarks.deploys" in arguments:
            raise KeyboardInterrupt
        (tmp_path / "logs.json").write_bytes(msgspec.json.encode(a_result()))
        return 0

    monkeypatch.setattr(running, "_called", called)
    with pytest.raises(KeyboardInterrupt):
        suite_command.main([f"--results={tmp_path}", f"--keep={tmp_path / 'kept.json'}", "--full"], [TINY, LONG])
    for file in ("suite.json", "kept.json"):
        assert [each.module for each in running.read(tmp_path / file).results] == ["logs"]


def test_a_module_that_lacks_what_it_needs_is_left_out_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "_called", lambda _: LEFT_OUT)
    assert suite_command.main([f"--results={tmp_path}", "--check"], [TINY]) == 0
    assert "logs was left out" in capsys.readouterr().out


@pytest.mark.parametrize(("check", "met", "expected"), [(True, False, 1), (False, False, 0), (True, True, 0)])
def test_a_missed_target_fails_the_suite_only_when_checked(check: bool, met: bool, expected: int) -> None:
    verdicts = judged("logs", a_result().figures, [Target(module="logs", figure="speed", least=2 if met else 3)])
    assert suite_command.code(Summary(results=[a_result(targets=verdicts)]), check=check) == expected


def test_quick_leaves_out_what_takes_long_unless_it_is_asked_for() -> None:
    assert chosen([TINY, LONG], full=False) == [(TINY, TINY.quick)]
    assert chosen([TINY, LONG], full=True) == [(TINY, TINY.full), (LONG, LONG.full)]
    assert chosen([TINY, LONG], full=False, only=["deploys"]) == [(LONG, LONG.full)]
    assert chosen([TINY, LONG], full=False, only=["logs"]) == [(TINY, TINY.quick)]


def test_what_is_kept_is_renewed_module_by_module(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    running.written(Summary(results=[a_result("deploys", seconds=1), a_result("logs", seconds=1)]), file)
    found = kept(Summary(results=[a_result("logs", seconds=2, detail={"rounds": [1]})]), file)
    assert [(each.module, each.seconds, each.detail) for each in found.results] == [
        ("deploys", 1, None),
        ("logs", 2, None),
    ]


# --- the table of modules


@every_module
@pytest.mark.parametrize("full", [False, True])
def test_each_module_takes_the_arguments_of_its_row(
    module: Module, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized = chosen([module], full=full)
    entry = import_module(f"benchmarks.{module.name}")
    monkeypatch.setattr(entry, "ended", lambda *_: 0)
    for _, size in sized:
        assert entry.main(shlex.split(size.arguments)) == 0
        assert size.minutes > 0


@every_module
def test_each_module_is_told_of(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"python -m benchmarks.{module.name}" in (ROOT / "benchmarks/README.md").read_text()
    with pytest.raises(SystemExit):
        import_module(f"benchmarks.{module.name}").main(["--help"])
    said = capsys.readouterr().out
    for option in ("--json", "--check", "--folder"):
        assert option in said


def test_targets_are_of_modules_that_there_are() -> None:
    assert {each.module for each in TARGETS} <= {each.name for each in MODULES}
    assert all((each.least is None) != (each.most is None) for each in TARGETS)


# --- a run of a module


def options_in(folder: Path, *more: str) -> list[str]:
    return [f"--folder={folder}", f"--json={folder / 'made' / 'mine.json'}", *more]


def a_run(arguments: list[str], measured: Measured | Exception) -> int:
    def measure() -> Measured:
        if isinstance(measured, Exception):
            raise measured
        return measured

    begun = begin("logs", arguments)
    return ended(begun, parser("logs", None).parse_args(begun.arguments), measure)


def test_a_run_writes_its_result_and_a_picture_for_each_curve(tmp_path: Path) -> None:
    rates = line("rate", {1: [2.0], 2: [4.0]})
    curve = Curve(name="rate", title="Rate", x="sizes", y="1/s", lines=[rates])
    assert a_run(options_in(tmp_path), Measured(figures=[figure("speed", "1/s", [2.0])], curves=[curve])) == 0
    result = msgspec.json.decode((tmp_path / "made" / "mine.json").read_bytes(), type=Result)
    assert result.module == "logs" and result.curves == [curve]
    assert result.figures[0].value == Spread(2.0, 2.0, 2.0)
    ElementTree.parse(tmp_path / "made" / "logs-rate.svg")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(Wrong("they differ"), 1, "void: they differ"), (Missing("no server"), LEFT_OUT, "left out: no server")],
)
def test_a_run_without_figures_says_why_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    assert a_run(options_in(tmp_path), error) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_figures_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        Measured(figures=[figure("speed", "1/s", [1.0]), figure("speed", "ms", [1.0])])


def test_the_command_that_is_told_makes_the_same_again_and_holds_no_secret() -> None:
    arguments = ["--json", "a.json", "--check", "--url", "postgresql://me:secret@host/db", "--json=b", "--rounds=2"]
    assert begin("deploys", arguments).command == (
        "python -m benchmarks.deploys --url 'postgresql://me:***@host/db' --rounds=2"
    )


def test_the_commit_has_a_mark_when_the_code_has_changes_and_none_for_figures_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.commit() == ""
    (tmp_path / "benchmarks").mkdir()
    for file in ("code.py", "benchmarks/measured.json"):
        (tmp_path / file).write_text("as it was")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    (tmp_path / "benchmarks/measured.json").write_text("figures")
    assert re.fullmatch(r"[0-9a-f]+", command.commit())
    (tmp_path / "code.py").write_text("changed")
    assert re.fullmatch(r"[0-9a-f]+\+", command.commit())


def test_what_others_do_is_told_in_cores() -> None:
    watch = Watch()
    others = watch.others()
    assert others is None or others >= 0


# --- figures and targets


@given(st.lists(st.tuples(amounts, amounts), min_size=1))
def test_a_ratio_is_of_each_round_and_shown_is_the_median(rounds: list[tuple[float, float]]) -> None:
    made = figure("speed", "1/s", [mine for mine, _ in rounds], {"floor": [floor for _, floor in rounds]})
    ratios = sorted(mine / floor for mine, floor in rounds)
    [beside] = made.beside
    assert beside.ratio is not None and made.rounds == len(rounds)
    assert (beside.ratio.least, beside.ratio.most) == (ratios[0], ratios[-1])
    assert sum(ratio <= beside.ratio.median for ratio in ratios) * 2 >= len(ratios)
    assert made.value.least <= made.value.median <= made.value.most


def test_a_floor_with_other_rounds_is_refused_and_one_of_nought_has_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        figure("speed", "1/s", [1.0, 2.0], {"floor": [1.0]})
    assert figure("failed", "", [1.0], {"before": [0.0]}).beside[0].ratio is None


@given(amounts, amounts, st.sampled_from(["most", "least"]), st.booleans())
def test_targets_are_judged(value: float, bound: float, side: str, strict: bool) -> None:
    bounds: dict[str, Any] = {side: bound, "strict": strict and side == "most"}
    target = Target(module="m", figure="f", **bounds)
    [verdict] = judged("m", [figure("f", "", [value])], [target])
    assert verdict.value == value
    assert (
        verdict.met
        is {
            ("least", False): value >= bound,
            ("most", False): value <= bound,
            ("most", True): value < bound,
        }[side, target.strict]
    )


def test_a_target_may_hold_the_ratio_and_what_was_not_measured_is_said() -> None:
    figures = [figure("f", "", [3.0], {"floor": [4.0]})]
    targets = [
        Target(module="m", figure="f", beside="floor", least=0.75),
        Target(module="m", figure="f", beside="floor", least=0.76),
        Target(module="m", figure="f", beside="another", least=0.75),
        Target(module="m", figure="g", least=1),
        Target(module="n", figure="f", least=9),
    ]
    verdicts = judged("m", figures, targets)
    assert [each.met for each in verdicts] == [True, False, None, None]
    told = report.rows(a_result(figures=figures, targets=verdicts))
    assert [row[-1] for row in told] == ["MISSED", "not measured", "not measured"]


# --- tables


@given(st.floats(-1e9, 1e9))
def test_a_number_is_told_short_and_near(value: float) -> None:
    told = report.spoken(value)
    assert float(told.replace(",", "")) == pytest.approx(value, rel=0.006, abs=0.0005 if abs(value) >= 1 else 1e-300)


def test_each_floor_has_a_row_and_columns_that_nobody_fills_are_left_out() -> None:
    result = a_result(figures=[figure("f", "ms", [3.0], {"one": [4.0], "two": [6.0]})])
    lines = report.plain(report.COLUMNS, report.rows(result))
    assert [re.split(r"  +", each.strip()) for each in lines] == [
        ["figure", "median", "rounds", "beside it", "median", "ratio"],
        ["f, ms", "3", "1", "one", "4", "0.75"],
        ["two", "6", "0.5"],
    ]


# --- pictures

sizes = st.dictionaries(st.integers(1, 10**7).map(float), st.lists(amounts, min_size=1, max_size=4), min_size=1)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    lines = [line("measured <&> it", draw(sizes))]
    kinds: list[Literal["floor", "peer"]] = ["floor", "peer"]
    lines += [line("beside", draw(sizes), kind) for kind in draw(st.sets(st.sampled_from(kinds)))]
    lines += [ideal(lines[0]) for ideal in draw(st.sets(st.sampled_from([linear, flat])))]
    logs = {"log_x": draw(st.booleans()), "log_y": draw(st.booleans())}
    return Curve(name="c", title='a "title" <&>', x="sizes", y="1/s", lines=lines, **logs)


@given(curves())
def test_a_picture_shows_every_point_where_it_belongs(curve: Curve) -> None:
    drawn = ElementTree.fromstring(drawing.as_svg(curve))
    wide, high = (float(drawn.attrib[side]) for side in ("width", "height"))
    marks = drawn.findall(f"{SVG}circle")
    points = [point for each in curve.lines if each.kind != "ideal" for point in each.points]
    assert [float(each.attrib["data-x"]) for each in marks] == [point.x for point in points]
    assert [float(each.attrib["data-y"]) for each in marks] == pytest.approx(
        [each.y.median for each in points], rel=1e-5
    )
    for mark in marks:
        assert 0 <= float(mark.attrib["cx"]) <= wide and 0 <= float(mark.attrib["cy"]) <= high
    across = sorted((float(each.attrib["data-x"]), float(each.attrib["cx"])) for each in marks)
    upright = sorted((float(each.attrib["data-y"]), -float(each.attrib["cy"])) for each in marks)
    for places in (across, upright):
        assert [place for _, place in places] == sorted(place for _, place in places)


@given(curves())
def test_labels_of_an_axis_keep_apart(curve: Curve) -> None:
    drawn = ElementTree.fromstring(drawing.as_svg(curve))
    texts = [(float(each.attrib["x"]), float(each.attrib["y"])) for each in drawn.findall(f"{SVG}text")]
    labels = {y: sorted(x for x, other in texts if other == y) for _, y in texts}
    for places in labels.values():
        assert all(after - before >= 20 for before, after in pairwise(places))
    left = sorted(y for x, y in texts if x == drawing.LEFT - 10)
    assert len(left) >= 2 and all(after - before >= 11 for before, after in pairwise(left))


def test_what_cannot_stand_on_a_logarithmic_axis_is_refused() -> None:
    nought = Line(name="a", kind="measured", points=[Point(1, Spread(0, 0, 0))])
    with pytest.raises(ValueError, match="logarithmic"):
        drawing.as_svg(Curve(name="c", title="t", x="x", y="y", lines=[nought], log_y=True))


def test_the_ideals_begin_at_the_first_point() -> None:
    rates = line("rate", {2: [5.0, 7.0, 6.0], 8: [9.0]})
    assert [(point.x, point.y.median) for point in linear(rates).points] == [(2, 6), (8, 24)]
    assert [(point.x, point.y.median) for point in flat(rates).points] == [(2, 6), (8, 6)]


# --- README.md


def test_the_block_is_renewed_and_nothing_else() -> None:
    page = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    new = readme.renewed(page, Summary(results=[a_result()]))
    assert new == readme.renewed(new, Summary(results=[a_result()]))
    assert new.startswith(f"before\n{readme.BEGIN}\n") and new.endswith(f"{readme.END}\nafter\n")
    assert "old" not in new and "| speed, 1/s | 2 | 1 – 3 | 3 | floor | 4 | 0.5 | 0.25 – 0.75 |" in new
    with pytest.raises(ValueError, match="no block"):
        readme.renewed("a page without", Summary())


def test_writing_it_renews_the_pictures_too(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"{readme.BEGIN}\n{readme.END}\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "old.svg").write_text("of a curve that is no more")
    curve = Curve(name="rate", title="Rate", x="x", y="y", lines=[line("a", {1: [1.0]})])
    readme.write(Summary(results=[a_result(curves=[curve])]), tmp_path)
    assert [each.name for each in (tmp_path / "pictures").iterdir()] == ["logs-rate.svg"]
    assert "![Rate](pictures/logs-rate.svg)" in (tmp_path / "README.md").read_text()


def test_the_figures_in_the_readme_are_those_that_were_measured() -> None:
    here = ROOT / "benchmarks"
    summary = running.read(here / "measured.json")
    page = (here / "README.md").read_text(encoding="utf-8")
    assert readme.renewed(page, summary) == page, "python -m benchmarks --write-readme benchmarks/measured.json"
    drawn = readme.pictures(summary)
    there = {each.name: each.read_text(encoding="utf-8") for each in (here / "pictures").glob("*.svg")}
    assert there == drawn, "python -m benchmarks --write-readme benchmarks/measured.json"
