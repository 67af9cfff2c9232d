"""Moments as people write them: a number of the journal, a time, how long ago, or now.

| written | meant |
| --- | --- |
| `57` | after transition 57 of the journal; 0: before the first |
| `2026-07-26T14:05:09.123+02:00`, `2026-07-26 14:05`, `2026-07-26` | that time; without an offset, in local time |
| `14:05`, `14:05:09.123` | that time of today |
| `90s`, `10m`, `2h30m`, `3d4h` | so long ago, as ages are shown |
| `1700000000123456` | µs since 1970, as `--json` has times |
| `now` | the journal's end |

A fraction of a second is taken to the end of its last digit, because the times that are shown are cut: what happened at
`14:05:09.123` (and 456 µs) is in at that time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

import click

from interlock.cli.times import SECOND, iso, microseconds_now
from interlock.replay.rewind import Moment

NOW = "now"
MICROS = 10**14
"""Whole numbers from here on are µs since 1970. Too low: numbers of a long journal are taken for times; too high: times
of the last century for numbers."""
_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS = (86_400, 3600, 60, 1)
_FRACTION = re.compile(r"\.(\d{1,6})(?!\d)")
WANTED = "a time like 2026-07-26T14:05:09.123, 14:05 or 2h30m (ago)"


def time_of(text: str) -> int:
    """A time, in µs since 1970.

    Raises:
        ValueError: it is none.
    """
    if text.isdecimal() and int(text) >= MICROS:
        return int(text)
    if (aged := _AGE.fullmatch(text)) and text:
        seconds = sum(int(count or 0) * unit for count, unit in zip(aged.groups(), _UNITS, strict=True))
        return microseconds_now() - seconds * SECOND
    return _stated(text)


def _stated(text: str) -> int:
    if text.isdecimal():
        raise ValueError(text)  # a date without dashes is more likely a number that was meant for something else
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text)
    if re.fullmatch(r"\d\d?:\d\d(:\d\d)?", whole):
        whole = f"{date.today().isoformat()}T{whole.zfill(5) if len(whole) < 6 else whole.zfill(8)}"
    second = datetime.fromisoformat(whole).astimezone()
    micros = int((fraction[1] if fraction else "").ljust(6, "9")) if fraction else 0
    return (second - datetime.fromtimestamp(0, second.tzinfo)) // timedelta(seconds=1) * SECOND + micros


def moment_of(text: str) -> Moment:
    """A number, a time or `now`.

    Raises:
        ValueError: it is none of them.
    """
    if text == NOW:
        return Moment()
    if text.isdecimal() and int(text) < MICROS:
        return Moment(seq=int(text))
    return Moment(at=time_of(text))


class _Written(click.ParamType[Moment]):
    """What click makes of a moment."""

    def __init__(self, name: str, read: Callable[[str], Moment], wanted: str) -> None:
        self.name, self._read, self._wanted = name, read, wanted

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Moment:
        """As click asks for it."""
        if isinstance(value, Moment):
            return value
        try:
            return self._read(str(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not {self._wanted}", param, ctx)


TIME = _Written("time", lambda text: Moment() if text == NOW else Moment(at=time_of(text)), f"{WANTED}, or now")
MOMENT = _Written("moment", moment_of, f"a number of the journal, {WANTED}, or now")


def told(seq: int, at: int) -> str:
    """How far the journal was played: `transition 57, 2026-07-26T14:05:09.123+02:00`."""
    return f"transition {seq}, {iso(at)}" if seq else "the beginning, before the first transition"
