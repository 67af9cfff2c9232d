"""Figures in README.md: the block between two marks is made of kept results, and so are the pictures; nobody types one.

`python -m benchmarks --write-readme FILE.json` renews both; a test holds that they are what `measured.json` gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import drawing, report
from benchmarks.result import Result
from benchmarks.running import Summary

HERE = Path(__file__).parent
BEGIN = "<!-- figures: python -m benchmarks --write-readme benchmarks/measured.json -->"
END = "<!-- end of figures -->"


def write(summary: Summary, folder: Path = HERE) -> list[Path]:
    """Renew the block and the pictures of a folder's README.md; the files that were written."""
    page = folder / "README.md"
    page.write_text(renewed(page.read_text(encoding="utf-8"), summary), encoding="utf-8")
    drawn = pictures(summary)
    (folder / "pictures").mkdir(exist_ok=True)
    for old in (folder / "pictures").glob("*.svg"):
        old.unlink()
    for name, picture in drawn.items():
        (folder / "pictures" / name).write_text(picture, encoding="utf-8")
    return [page, *(folder / "pictures" / name for name in drawn)]


def renewed(page: str, summary: Summary) -> str:
    """The page with another block.

    Raises:
        ValueError: the marks are not there, each once and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no block of figures: put the lines {BEGIN} and {END} where they are to stand")
    return "\n".join([before + begin, "", *block(summary), end + after])


def pictures(summary: Summary) -> dict[str, str]:
    """The name of each picture, and what it is."""
    return {_picture(each, curve.name): drawing.as_svg(curve) for each in summary.results for curve in each.curves}


def _picture(result: Result, curve: str) -> str:
    return f"{result.module}-{curve}.svg"


def block(summary: Summary) -> Iterator[str]:
    """The figures of each module as Markdown, with the command that makes them, and when and where it was."""
    for result in summary.results:
        machine = result.machine
        others = "" if machine.others is None else f" Other processes kept {machine.others:.1f} of its cores busy."
        commit = f", at {result.commit}" if result.commit else ""
        yield f"### {result.module}"
        yield from ("", "```", result.command, "```", "")
        yield (
            f"{result.date[:10]}{commit}; {result.seconds:,.0f} s on {machine.cores} cores ({machine.cpu}),"
            f" {machine.ram_gib:.0f} GiB, {machine.python}, SQLite {machine.sqlite}, 4 KiB and fsync"
            f" {machine.fsync_ms:.2f} ms.{others}"
        )
        if result.settings:
            yield from ("", f"Measured on: {report.settings(result)}.")
        yield from ("", *report.markdown(report.COLUMNS, report.rows(result)), "")
        for curve in result.curves:
            yield from (f"![{curve.title}](pictures/{_picture(result, curve.name)})", "")
