"""migrate, scale, restore, assign: changes of VMs that are there; one operation on each of several, all at once."""

from __future__ import annotations

from typing import Any

import click

from interlock.cli.commands.lifecycle import on_each


def _option(name: str, argument: str, metavar: str, help: str, **more: Any) -> Any:
    return click.option(name, argument, metavar=metavar, help=help, **more)


migrate = on_each(
    "migrate",
    "Move Running VMs to another host while they run. NAME may be an id.",
    _option("--host", "host", "H", "Where to; otherwise to any host that fits."),
)
scale = on_each(
    "scale",
    "Give VMs another offering; running ones where their hypervisor can. NAME may be an id.",
    _option("--offering", "offering", "O", "The size they get.", required=True),
    _option("--cpu-cores", "cpu_cores", "N", "Where the offering leaves it open.", type=int),
    _option("--cpu-mhz", "cpu_mhz", "MHZ", "Of one core; where the offering leaves it open.", type=int),
    _option("--memory", "memory_mib", "MIB", "Where the offering leaves it open.", type=int),
)
restore = on_each(
    "restore",
    "Make the root disks of Stopped VMs anew; what was on them is lost. NAME may be an id.",
    _option("--template", "template", "T", "What from; otherwise from the template they have."),
)
assign = on_each(
    "assign",
    "Give VMs that do not run to another account; they get new addresses. NAME may be an id.",
    _option("--account", "account", "A", "Whose they become.", required=True),
    _option(
        "--network",
        "networks",
        "N",
        "A NIC in this network instead of the default one; may be repeated.",
        multiple=True,
    ),
    _option("--security-group", "security_groups", "G", "A group of that account's; may be repeated.", multiple=True),
)
