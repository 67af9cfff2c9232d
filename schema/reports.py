"""What drivers tell of the world without being asked: reports of hosts, events of guests, hosts lost and back.

A report is a hint: nothing is concluded from it but that somebody should look (`LookForDomain`, under a fence). So one
that is late, repeated, out of order or wrong costs a look at most.

Each observation says when it was made, by the host's own clock, and in which boot of that host. Of two of the same
host the one with the higher (epoch, observed_at) is the newer; those of different hosts are never compared. An epoch is
any number that rises with each boot: the time of the boot, or a counter.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Power(StrEnum):
    """What a host says of a guest."""

    ON = "on"
    PAUSED = "paused"
    OFF = "off"
    ABSENT = "absent"

    @property
    def is_up(self) -> bool:
        """Whether there is a guest that holds memory, be it halted for the moment."""
        return self in (Power.ON, Power.PAUSED)


MIGRATED = "migrated"
"""The reason of a guest that is off, or gone, because it has moved to another host."""


class Found(msgspec.Struct, frozen=True):
    """What a host finds when it is asked for a guest: its power and, where it knows, the reason in a word or two."""

    power: Power
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.power} ({self.reason})" if self.reason else str(self.power)


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What all have. Times in µs."""

    host_id: str
    epoch: int
    observed_at: int

    @property
    def mark(self) -> tuple[int, int]:
        """What tells the newer of two of one host."""
        return self.epoch, self.observed_at


class HostReport(Observation, frozen=True, kw_only=True):
    """All guests of a host, by the id of the VM that they were started for, or, of strangers, by any name that the
    driver takes as `vm_id` in commands. One that is not listed is not there."""

    guests: dict[str, Power]


class GuestEvent(Observation, frozen=True, kw_only=True):
    """One guest has changed: started, appeared (on), halted (paused), stopped or crashed (off), undefined (absent)."""

    guest_id: str
    power: Power


class HostLost(Observation, frozen=True, kw_only=True):
    """The host does not answer any more; its guests may run."""


class HostBack(Observation, frozen=True, kw_only=True):
    """The host answers again; with a higher epoch if it has booted."""


Report = HostReport | GuestEvent | HostLost | HostBack
