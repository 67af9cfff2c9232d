"""What stands before the message of a log line: time, level, logger, thread with its context, log id.

| layout | written by | example |
| --- | --- | --- |
| log4j 2 | 4.20+ | `2025-01-02 03:04:05,678 DEBUG [c.c.c.X] (Work-Job-Executor-5:[ctx-1, job-7/job-8]) (logid:ab) …` |
| log4j 1 | 4.3+ | `2018-01-02 03:04:05,678 DEBUG [c.c.c.X] (Work-Job-Executor-5:ctx-1 job-7/job-8) (logid:ab) …` |
| log4j 1, old | until 4.2 | `2014-01-02 03:04:05,678 DEBUG [cloud.capacity.X] (Job-Executor-7:job-19 = [ uuid ]) …` |

Before any of them blanks, a syslog header, or the name of the server may stand; after a syslog header the date may be
missing.
The time has no zone: it is taken as it is written, as if it were UTC.

Works on bytes: of a thousand lines few are of interest, and only those are decoded. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BASE = rb"""
    (?P<level>[A-Z]{4,5}) \ + \[(?P<logger>[^\]\s]+)\] \ + \((?P<thread>[^()]*(?:\([^()]*\)[^()]*)*)\) \ ?
    (?:\ *\(logid:(?P<logid>[^)]*)\) \ ?)?
"""
DATED = rb"[ \t]*(?P<at>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d{1,6}) \S* \ +" + BASE
SYSLOG = rb"(?:<\d+>)? (?:[A-Z][a-z]{2} \ [ \d]\d \ \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \ \S+ \ [^\s:]+: \ +"

plain: Callable[[bytes], re.Match[bytes] | None] = re.compile(DATED, re.VERBOSE).match
"""The head of a line that begins with its date."""
_behind = re.compile(
    rb"(?:" + SYSLOG + rb"(?=\d{4}-) | [\w.-]{1,64}:?\ +(?=\d{4}-\d\d-\d\d) | \xef\xbb\xbf)?" + DATED, re.VERBOSE
).match
_undated = re.compile(SYSLOG + BASE, re.VERBOSE).match

_WORK = re.compile(r"\bjob-\d+/job-(\d+)\b")
_JOB = re.compile(r"\bjob-(\d+)\b")
_OLD_JOB = re.compile(r"\bjob-\d+ = \[")


def head(line: bytes) -> re.Match[bytes] | None:
    """What stands before the message; None: the line begins no record. The message begins where the match ends."""
    return plain(line) or _behind(line) or (_undated(line) if line[:1] in b"<2ADFJMNOS" else None)


def written_at(head: re.Match[bytes]) -> int | None:
    """When, in microseconds since 1970, as if the clock had been UTC; None: it does not say, or no such day is."""
    text = head.groupdict().get("at")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.decode().replace(",", ".").ljust(23, "0")[:26])
    except ValueError:
        return None
    return int((moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000 + 0.5)


def work_job(thread: str) -> str | None:
    """The number of the work job, which is about one VM, that a thread's context names."""
    found = _WORK.search(thread)
    return found[1] if found else None


def any_job(thread: str) -> str | None:
    """The number of the job that a thread's context names."""
    found = _JOB.search(thread)
    return found[1] if found else None


def newest(thread: str) -> str | None:
    """The last release whose lines look like this, as far as the layout tells; None: today's may."""
    return "4.2" if _OLD_JOB.search(thread) else None


def as_written(at: int | None) -> str:
    """The time as the log has it, so that it is found there; empty: it does not say."""
    if at is None:
        return ""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return moment.strftime("%Y-%m-%d %H:%M:%S,") + f"{moment.microsecond // 1000:03}"
