"""What was read of logs as plain values, for programs: the documents of `interlock logs --json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from interlock.replay.foreign.checking import Checked, Finding
from interlock.replay.foreign.overview import Overview
from interlock.replay.foreign.reading import Tally


def document(tally: Tally, overview: Overview) -> dict[str, Any]:
    """All that was read, as plain values."""
    return {
        "files": tally.files,
        "damaged": tally.damaged,
        "lines": {
            "all": tally.lines,
            "understood": tally.understood,
            "not_understood": tally.unknown,
            "continuation": tally.continuation,
        },
        "formats": dict(tally.formats),
        "first": overview.first,
        "last": overview.last,
        "entities": [asdict(each) for each in overview.entities.values()],
        "unnamed_transitions": overview.unnamed,
        "machines": _machines(overview),
        "findings": [_finding(each) for each in overview.findings],
        "as_ours": overview.as_ours,
        "differences": [asdict(each) for each in overview.differences.values()],
        "unknown": [{"shape": name, **asdict(shape)} for name, shape in tally.listed()],
    }


def _machines(overview: Overview) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (machine, what), count in (*overview.kinds.items(), *overview.troubles.items()):
        found.setdefault(machine or "none", {})[str(what)] = count
    return found


def _finding(finding: Finding) -> dict[str, Any]:
    source, event, destination = finding.fact.step
    return {
        "trouble": finding.trouble,
        "file": finding.fact.file,
        "line": finding.fact.line,
        "machine": finding.fact.machine,
        "entity": finding.whose.name if finding.whose else None,
        "source": source,
        "event": event,
        "destination": destination,
        "missing": finding.missing,
        "message": finding.words,
    }


def fact_fields(checked: Checked) -> dict[str, Any]:
    """One fact, as plain values."""
    fact = checked.fact
    source, event, destination = fact.step
    return {
        "file": fact.file,
        "line": fact.line,
        "at": fact.at,
        "format": fact.format.name,
        "kind": fact.kind,
        "machine": fact.machine,
        "source": source,
        "event": event,
        "destination": destination,
        "said": fact.said,
        "ours": checked.ours,
        "findings": [_finding(each) for each in checked.findings],
    }
