"""Sizes: cores, speed and memory, of a compute offering and, where that leaves them open, of the request.

`ScaleVM` meets the same rules.
"""

from __future__ import annotations

from typing import NamedTuple

from interlock.engine.core.admission.lookup import existing, must_be_enabled
from interlock.engine.core.admission.owner import must_be_for_domain, must_not_be_system
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Offering
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import DeployVM, ScaleVM


class Size(NamedTuple):
    """What a VM is given: cores, MHz of each, MiB."""

    cpu_cores: int
    core_mhz: int
    memory_mib: int


def offering_of(cloud: Cloud, offering_id: str, account: Account, caller_id: str | None) -> Offering:
    """The offering exists, is enabled, and the owner's to use."""
    offering = existing(cloud, Offering, offering_id)
    must_be_enabled(offering)
    must_not_be_system(cloud, offering, caller_id)
    must_be_for_domain(cloud, offering, account)
    return offering


def size_of(offering: Offering, request: DeployVM | ScaleVM) -> Size:
    """Each figure is the offering's, or the request's within the offering's bounds."""
    return Size(
        _figure(
            offering, "cpu_cores", offering.cpu_cores, request.cpu_cores, offering.cores_least, offering.cores_most
        ),
        _figure(offering, "cpu_mhz", offering.cpu_mhz, request.cpu_mhz, offering.mhz_least, offering.mhz_most),
        _figure(
            offering,
            "memory_mib",
            offering.memory_mib,
            request.memory_mib,
            offering.memory_least_mib,
            offering.memory_most_mib,
        ),
    )


def _figure(offering: Offering, name: str, fixed: int | None, asked: int | None, least: int, most: int) -> int:
    if fixed is not None:
        must_not_be_given(offering, name, fixed, asked)
        return fixed
    return must_be_within(offering, name, asked, least, most)


def must_not_be_given(offering: Offering, name: str, fixed: int, asked: int | None) -> None:
    """What the offering fixes is not the request's to say."""
    if asked is not None:
        raise InvalidRequest(
            f"offering {offering.id} fixes {name} at {fixed}; leave {name} out, or choose a custom offering"
        )


def must_be_within(offering: Offering, name: str, asked: int | None, least: int, most: int) -> int:
    """What the offering leaves open is said, within its bounds."""
    bounds = f"offering {offering.id} takes {name} from {least} to {most}"
    if asked is None:
        raise InvalidRequest(f"{bounds}: say which")
    if not least <= asked <= most:
        raise InvalidRequest(f"{bounds}, not {asked}: choose one of these, or another offering")
    return asked
