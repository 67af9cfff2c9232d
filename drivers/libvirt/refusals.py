"""What a refusal says about the world: one table of libvirt's error codes, and how everything else is told.

permanent   libvirt refused before it did anything, and would again
transient   nothing happened, and it may work later: it was busy, or could not be reached
unknown     all others: it broke off, and something may have happened

Promises: a code that is not in the table is unknown, so a new libvirt can make an operation slower, never wrong. Where
no call that changes anything has gone out (gate.py), unknown is transient: nothing can have happened.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.drivers.libvirt.boundary import code_of, lib
from interlock.schema.commands import Done, Refusal, Refused, Scope

DONE = Done()
PERMANENT, TRANSIENT = Refusal.PERMANENT, Refusal.TRANSIENT

CODES: Mapping[str, Refusal] = {
    "NO_SUPPORT": PERMANENT,
    "INVALID_CONN": TRANSIENT,
    "NO_CONNECT": TRANSIENT,
    "INVALID_ARG": PERMANENT,
    "NO_KERNEL": PERMANENT,
    "OS_TYPE": PERMANENT,
    "XML_ERROR": PERMANENT,
    "XML_DETAIL": PERMANENT,
    "XML_INVALID_SCHEMA": PERMANENT,
    "CONF_SYNTAX": PERMANENT,
    "CONFIG_UNSUPPORTED": PERMANENT,
    "ARGUMENT_UNSUPPORTED": PERMANENT,
    "NO_DOMAIN": PERMANENT,
    "NO_NETWORK": PERMANENT,
    "NO_STORAGE_POOL": PERMANENT,
    "NO_STORAGE_VOL": PERMANENT,
    "NO_NWFILTER": PERMANENT,
    "NO_SOURCE": PERMANENT,
    "NO_TARGET": PERMANENT,
    "DOM_EXIST": PERMANENT,
    "NETWORK_EXIST": PERMANENT,
    "STORAGE_VOL_EXIST": PERMANENT,
    "STORAGE_POOL_BUILT": PERMANENT,
    "OPERATION_DENIED": PERMANENT,
    "OPERATION_UNSUPPORTED": PERMANENT,
    "ACCESS_DENIED": PERMANENT,
    "AUTH_FAILED": PERMANENT,
    "AUTH_CANCELLED": PERMANENT,
    "AUTH_UNAVAILABLE": PERMANENT,
    "NO_SECRET": PERMANENT,
    "MIGRATE_UNSAFE": PERMANENT,
    "DEVICE_MISSING": PERMANENT,
    "RESOURCE_BUSY": TRANSIENT,
    "BUILD_FIREWALL": TRANSIENT,
    "AGENT_UNRESPONSIVE": TRANSIENT,
    "AGENT_UNSYNCED": TRANSIENT,
}
"""By name, without VIR_ERR_."""


DEFINING = frozenset({"defineXMLFlags", "nwfilterDefineXML", "storagePoolDefineXML"})
"""Calls that libvirt refuses whole, whatever the code: a name that is taken comes as OPERATION_FAILED."""


class Refuse(Exception):
    """Raised where something is found that refuses the command; carries the answer."""

    def __init__(self, answer: Refused) -> None:
        super().__init__(answer.reason)
        self.answer = answer


def refused(scope: Scope, reason: str, kind: Refusal = PERMANENT) -> Refuse:
    """The exception of a refusal."""
    return Refuse(Refused(kind=kind, scope=scope, reason=reason))


def kind_of(error: BaseException, touched: bool, calling: str = "") -> Refusal:
    """What an error of libvirt says about the world.

    Args:
        error: the error.
        touched: whether a call that changes something has gone out before or with it.
        calling: the call that raised it.
    """
    code = code_of(error)
    named = next((kind for name, kind in CODES.items() if getattr(lib(), f"VIR_ERR_{name}", None) == code), None)
    if named is not None:
        return named
    if calling in DEFINING:
        return PERMANENT
    return Refusal.UNKNOWN if touched else TRANSIENT
