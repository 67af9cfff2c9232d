"""What options of `deploy` say, as fields of its request: NICs, disks, labels, user data.

Promises: what is misspelt is a usage error that shows how it is spelt; whether what is named exists is the engine's
to say.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import IO, Any

import click

from interlock.schema.requests import DiskRequest, NicRequest

ADDRESSES = {"ip": "ip_address", "ip6": "ip6_address", "mac": "mac_address"}
"""What may follow a NIC's network, and the field that it is."""


class NicOption(click.ParamType[NicRequest]):
    """`NETWORK`, `NETWORK,ip=10.1.0.9,mac=02:00:00:00:00:01`."""

    name = "nic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NicRequest:
        """Read it."""
        network, *given = value.split(",")
        fields: dict[str, str] = {}
        for each in given:
            key, sign, address = each.partition("=")
            if not sign or not address or key not in ADDRESSES or ADDRESSES[key] in fields:
                self.fail(f"{value!r}: say NETWORK[,ip=ADDRESS][,ip6=ADDRESS][,mac=ADDRESS]", param, ctx)
            fields[ADDRESSES[key]] = address
        return NicRequest(network, **fields)


class DiskOption(click.ParamType[int | DiskRequest]):
    """`10` (MiB), `OFFERING`, `OFFERING:10`."""

    name = "disk"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | DiskRequest:
        """Read it."""
        offering, sign, size = value.rpartition(":") if ":" in value else (value, "", "")
        if value.isascii() and value.isdecimal():
            return int(value)
        if not offering or (sign and not (size.isascii() and size.isdecimal())):
            self.fail(f"{value!r}: say MIB, OFFERING or OFFERING:MIB", param, ctx)
        return DiskRequest(offering, int(size) if sign else None)


class LabelOption(click.ParamType[tuple[str, str]]):
    """`KEY=VALUE`."""

    name = "label"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read it."""
        key, sign, text = value.partition("=")
        if not sign or not key:
            self.fail(f"{value!r}: say KEY=VALUE", param, ctx)
        return key, text


def labels(option: str, given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels by key.

    Raises:
        UsageError: one is given twice.
    """
    found: dict[str, str] = {}
    for key, value in given:
        if key in found:
            raise click.UsageError(f"{option} {key} is given twice", click.get_current_context())
        found[key] = value
    return found


def disks(given: Iterable[int | DiskRequest]) -> dict[str, Any]:
    """The two fields that data disks are."""
    all_of = tuple(given)
    return {
        "data_disks_mib": tuple(each for each in all_of if isinstance(each, int)),
        "data_disks": tuple(each for each in all_of if isinstance(each, DiskRequest)),
    }


def default_nic(nics: tuple[NicRequest, ...], network: str | None) -> int:
    """The number of the NIC on a network; without one, the first.

    Raises:
        UsageError: none of them is on it.
    """
    if network is None:
        return 0
    for number, nic in enumerate(nics):
        if nic.network == network:
            return number
    message = f"--default-network {network} is none of the networks named by --nic"
    raise click.UsageError(message, click.get_current_context())


def encoded(file: IO[bytes] | None) -> str | None:
    """A file as Base64."""
    return None if file is None else base64.b64encode(file.read()).decode()
