r"""What a row of the table of formats is: what one sort of line looks like, and what it says.

A format is data. `begins` is how its message may begin, `holds` what stands somewhere in it: one of them is looked
for before the pattern is tried. The pattern's named groups are what it says:

| group | is |
| --- | --- |
| `source`, `event`, `destination` | the transition |
| `vm`, `host`, `volume` | a rendering (see `renderings.py`) of whom it is about |
| `id`, `name` | the number, the name of whom it is about |
| all others | told as they are |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Kind(StrEnum):
    """What sort of thing a line says."""

    TRANSITION = "transition"  # an entity moved, and this is the line that says so
    ECHO = "echo"  # the same transition, said by another class
    REFUSED = "refused"  # the machine has no such row: nothing moved
    LOST = "lost"  # the write lost a race: nothing moved
    ASKED = "asked"  # an event is about to be given to the machine
    REPORT = "report"  # what a hypervisor reported of a VM, and what follows
    CAPACITY = "capacity"
    JOB = "job"
    NIC = "nic"


@dataclass(frozen=True)
class Format:
    """One row of the table. `machine` is whose transition it is; releases are those that print it."""

    name: str
    kind: Kind
    pattern: str
    begins: tuple[str, ...] = ()
    holds: str = ""
    machine: str | None = None
    printed_by: str = ""
    since: str = ""
    until: str | None = None

    @cached_property
    def search(self) -> re.Pattern[str]:
        """The pattern, compiled when it is first needed."""
        return re.compile(self.pattern, re.DOTALL)

    def match(self, message: str) -> re.Match[str] | None:
        """What the message says in this format; None: it is none of it."""
        if self.begins:
            return self.search.match(message) if message.startswith(self.begins) else None
        return self.search.search(message) if self.holds in message else None
