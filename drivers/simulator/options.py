"""What `[drivers.simulator]` in a cloud description may say, checked before anything is opened.

Promises: an option that is unknown, of the wrong type or out of range raises PluginError, which names it
and what would be right. Never touches the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from interlock.drivers.protocol import Home
from interlock.schema.commands import Capability
from interlock.schema.errors import PluginError

LONGEST_MS = 3_600_000
"""Too low: slow hypervisors cannot be played. Too high: a slip of the pen is a hang, also of closing."""

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_MS)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options as written."""

    file: str | None = None
    """The world's file, relative to the home directory; by default the home's stem with `.simulator`."""
    latency_ms: Milliseconds = 0
    """How long every command travels before it arrives."""
    jitter_ms: Milliseconds = 0
    """Up to how much longer; how much exactly follows from the token, so a run can be repeated."""
    cannot: tuple[str, ...] = ()
    """The capabilities that its hypervisor lacks, by name; by default it has all there are."""

    @property
    def lacking(self) -> frozenset[Capability]:
        """What it cannot."""
        return frozenset(map(Capability, self.cannot))


def read(options: Mapping[str, Any]) -> Options:
    """The options, checked.

    Raises:
        PluginError: one of them is unknown or wrong.
    """
    known = Options.__struct_fields__
    for name in options:
        if name not in known:
            raise PluginError(f"driver simulator has no option {name!r}; it knows {', '.join(sorted(known))}")
    try:
        read = msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise PluginError(f"driver simulator: {error}; correct it in [drivers.simulator]") from error
    for name in read.cannot:
        if name not in list(Capability):
            raise PluginError(
                f"driver simulator: {name!r} in cannot is no capability; there are {', '.join(Capability)}"
            )
    return read


def world_file(options: Options, home: Home) -> Path:
    """Where the world is kept."""
    return home.directory / (options.file or f"{home.stem}.simulator")
