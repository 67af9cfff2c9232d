"""What follows from where hosts find a VM's guest: the rules of reconciliation, as pure functions of what was found.

    recorded as Running or Unknown, and its host …      and others …          conclusion
    finds it up                                         whatever              HERE      (up elsewhere: strays)
    finds it off or not at all                          one finds it up       MOVED     there (more: strays)
    finds it off                                        none does             STOPPED
    does not find it, or off because it has moved       none does             STOPPED
                                                        one does not answer   LOST
    does not answer                                     whatever              LOST
    recorded as holding no host                         find it up            NOTHING   (all of them: strays)
                                                        none does             NOTHING
                                                        none answers          LOST

Promises: a guest that was found up on its host is never called stopped, and one whose host did not answer is never
called anything but lost. Nothing is concluded from silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from interlock.schema.reports import MIGRATED, Power

HOLDING = ("Running", "Unknown")
"""The states in which a VM that no operation owns holds a host."""


class Seen(msgspec.Struct, frozen=True):
    """What a host has said of a guest. `power` None: it did not answer, and `reason` is why."""

    power: Power | None
    reason: str = ""

    @property
    def is_up(self) -> bool:
        """Whether there is a guest, running or halted."""
        return self.power is not None and self.power.is_up

    @property
    def is_gone(self) -> bool:
        """Whether it may be elsewhere: this host does not have it, or says that it has moved."""
        return self.power is Power.ABSENT or (self.power is Power.OFF and self.reason == MIGRATED)


class Kind(StrEnum):
    """What is concluded about a VM."""

    HERE = "here"
    STOPPED = "stopped"
    MOVED = "moved"
    LOST = "lost"
    NOTHING = "nothing"


class Conclusion(msgspec.Struct, frozen=True):
    """What is concluded, and why, in words. `to`: where it has moved; `strays`: hosts whose guests should not be;
    `remains`: hosts that have one which is off, and nobody's. They would keep the VM from starting anywhere else."""

    kind: Kind
    cause: str = ""
    to: str | None = None
    strays: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()


def must_search(recorded: str | None, seen: Mapping[str, Seen]) -> bool:
    """Whether other hosts must be asked before anything can be concluded: it is gone, and was not found."""
    return recorded is not None and seen[recorded].is_gone and not any(each.is_up for each in seen.values())


def concluded(recorded: str | None, seen: Mapping[str, Seen]) -> Conclusion:
    """The conclusion.

    Args:
        recorded: the host that the VM holds, if it holds one; it has been asked.
        seen: what hosts have said, those first that are to be believed first.
    """
    remains = tuple(host for host, each in seen.items() if each.power is Power.OFF)
    return msgspec.structs.replace(_concluded(recorded, seen), remains=remains)


def _concluded(recorded: str | None, seen: Mapping[str, Seen]) -> Conclusion:
    up = tuple(host for host, each in seen.items() if each.is_up)
    if recorded is None:
        return _of_none(seen, up)
    others, here = tuple(host for host in up if host != recorded), seen[recorded]
    if here.power is None:
        return Conclusion(Kind.LOST, f"host {recorded} does not answer: {here.reason}")
    if here.is_up:
        return Conclusion(Kind.HERE, f"host {recorded} finds it {here.power}", strays=others)
    if others:
        return Conclusion(Kind.MOVED, f"it runs on host {others[0]}, not on {recorded}", others[0], others[1:])
    silent = [host for host, each in seen.items() if each.power is None]
    if here.is_gone and silent:
        return Conclusion(
            Kind.LOST, f"host {recorded} does not have it any more, and {', '.join(silent)} may, but does not answer"
        )
    return Conclusion(Kind.STOPPED, _stopped(recorded, here))


def _of_none(seen: Mapping[str, Seen], up: tuple[str, ...]) -> Conclusion:
    if up:
        return Conclusion(Kind.NOTHING, f"it runs on {', '.join(up)}, and should not", strays=up)
    if seen and all(each.power is None for each in seen.values()):
        return Conclusion(Kind.LOST, f"{', '.join(seen)} does not answer")
    return Conclusion(Kind.NOTHING)


def _stopped(host: str, seen: Seen) -> str:
    if seen.power is Power.ABSENT:
        return f"host {host} does not have it any more"
    return f"{seen.reason} (host {host})" if seen.reason else f"host {host} finds it off"


def agrees(state: str, recorded: str | None, host: str, power: Power) -> bool:
    """Whether what a report says of a guest on a host is what the record of its VM, which no operation owns, says.

    Args:
        state: the VM's.
        recorded: the host it holds.
    """
    if state not in HOLDING or host != recorded:
        return not power.is_up
    return state == "Running" and power.is_up
