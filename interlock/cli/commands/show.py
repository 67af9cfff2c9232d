"""show: one VM with its NICs, volumes and operations; of one that failed, why, candidate by candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import msgspec

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import BAD, DIM, HEAD, Column, Row, plain
from interlock.cli.output import Out
from interlock.cli.times import age, duration, iso, microseconds_now
from interlock.cli.work import headline
from interlock.schema.records import Nic, Operation, Vm, Volume

OPERATIONS = 5
"""The last ones are shown; `--json` and `history` have all."""

NICS = (
    Column("NIC"),
    Column("STATE"),
    Column("IP"),
    Column("NETWORK"),
    Column("IPV6", extra=True),
    Column("MAC", extra=True),
    Column("GATEWAY", extra=True),
    Column("ID", extra=True),
)
VOLUMES = (
    Column("DISK"),
    Column("STATE"),
    Column("SIZE", right=True),
    Column("POOL"),
    Column("OFFERING", extra=True),
    Column("CLONE", extra=True),
    Column("NAME", extra=True),
    Column("ID", extra=True),
)
JOBS = (Column("OPERATION"), Column("STATE"), Column("TOOK", right=True), Column("ID"), Column("BEGAN", extra=True))
LABEL = 13


@dataclass(frozen=True)
class Whole:
    """A VM with all that belongs to it."""

    vm: Vm
    nics: list[Nic]
    volumes: list[Volume]
    operations: list[Operation]

    @property
    def fields(self) -> dict[str, Any]:
        """For programs."""
        parts = {"nics": self.nics, "volumes": self.volumes, "operations": self.operations}
        return {**msgspec.to_builtins(self.vm), **parts}


@command("show")
@click.argument("name")
async def show(face: Face, name: str) -> Exit:
    """Show a VM with its NICs, volumes and operations. NAME may be an id."""
    async with face.looking() as engine:
        vm = await engine.vm(name)
        whole = Whole(vm, await engine.nics(vm.id), await engine.volumes(vm.id), await engine.operations(vm.id))
    if face.out.json:
        face.out.document(whole.fields)
    else:
        tell(face.out, whole, microseconds_now())
    return Exit.OK


def tell(out: Out, whole: Whole, now: int) -> None:
    """All of a VM for people.

    Args:
        now: the moment at which it is so, µs.
    """
    vm = whole.vm
    since = f"  for {age(now - vm.since)}"
    out.line([(f"{vm.name:<{LABEL}}", HEAD), layout.state(vm.state), (since, DIM)])
    for label, value in _facts(vm):
        if value:
            out.line([(f"{label:<{LABEL}}", DIM), (value, "")])
    _section(out, NICS, [_nic(each) for each in whole.nics])
    _section(out, VOLUMES, [_volume(each) for each in whole.volumes])
    shown = whole.operations[-OPERATIONS:]
    _section(out, JOBS, [_operation(each, now, last=each is shown[-1]) for each in shown])
    if len(shown) < len(whole.operations):
        out.line([(f"{len(whole.operations) - len(shown)} earlier ones: `interlock history {vm.name}`", DIM)])


def _facts(vm: Vm) -> list[tuple[str, str]]:
    """What is known of it; what is empty is not shown."""
    last = f"last on {vm.last_host_id}" if vm.last_host_id else "on none yet"
    size = f"{vm.cpu_cores} × {vm.cpu_mhz // vm.cpu_cores} MHz, {vm.memory_mib} MiB"
    return [
        ("id", vm.id),
        ("display", vm.display_name or ""),
        ("instance", vm.instance_name),
        ("host", vm.host_id or last),
        ("migrates to", vm.target_host_id or ""),
        ("holds", _held(vm)),
        ("zone", vm.zone_id),
        ("account", vm.account_id),
        ("offering", f"{vm.offering_id} ({size})"),
        ("template", vm.template_id),
        ("hypervisor", vm.hypervisor or ""),
        ("planner", vm.planner),
        *_belongings(vm),
        ("created", iso(vm.created_at)),
    ]


def _belongings(vm: Vm) -> list[tuple[str, str]]:
    return [
        ("security", ", ".join(vm.security_groups)),
        ("affinity", ", ".join(vm.affinity_groups)),
        ("user data", f"{len(vm.user_data)} characters of Base64" if vm.user_data else ""),
        ("ssh keys", "; ".join(map(_key, vm.ssh_keys))),
        ("details", _labels(vm.details)),
        ("tags", _labels(vm.tags)),
    ]


def _held(vm: Vm) -> str:
    """What it takes of its host: its size, over the ratio that was in force when it started."""
    if vm.host_id is None:
        return ""
    own = [
        f"{what} by its own {ratio:g}×"
        for what, ratio in (("CPU", vm.own_cpu_overcommit), ("memory", vm.own_memory_overcommit))
        if ratio is not None
    ]
    divided = f" ({', '.join(own)})" if own else ""
    return f"{vm.cpu_held_mhz} of its {vm.cpu_mhz} MHz, {vm.memory_held_mib} of its {vm.memory_mib} MiB{divided}"


def _key(public_key: str) -> str:
    """An SSH key by its kind and comment; the middle is for programs."""
    kind, *rest = public_key.split(maxsplit=2)
    return " ".join([kind, *rest[1:]])


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def _section(out: Out, columns: tuple[Column, ...], rows: list[Row]) -> None:
    if rows:
        out.line()
        out.table(columns, rows, indent=2)


def _nic(nic: Nic) -> Row:
    return Row(
        (
            plain(f"{nic.device}{' (default)' if nic.is_default else ''}"),
            layout.state(nic.state),
            plain(nic.ip_address),
            plain(nic.network_id),
            plain(nic.ip6_address),
            plain(nic.mac_address),
            plain(nic.gateway),
            plain(nic.id),
        )
    )


def _volume(volume: Volume) -> Row:
    root = " (root)" if volume.kind == "ROOT" else ""
    return Row(
        (
            plain(f"{'-' if volume.device is None else volume.device}{root}"),
            layout.state(volume.state),
            plain(f"{volume.size_mib} MiB"),
            plain(volume.pool_id),
            plain(volume.offering_id),
            plain(volume.clone),
            plain(volume.name),
            plain(volume.id),
        )
    )


def _operation(operation: Operation, now: int, *, last: bool) -> Row:
    over = operation.state in ("Succeeded", "Failed", "Cancelled")
    took = (operation.since if over else now) - operation.created_at
    cells = (
        plain(operation.kind),
        layout.state(operation.state),
        plain(duration(took)),
        plain(operation.id),
        plain(iso(operation.created_at)),
    )
    return Row(cells, _why(operation) if last or not over else ())


def _why(operation: Operation) -> tuple[layout.Cell, ...]:
    """The error, each candidate that was refused, and what is avoided."""
    error = ((headline(operation) or "", BAD),) if operation.error else ()
    reasons = tuple((f"  {candidate}: {reason}", "") for candidate, reason in operation.reasons)
    avoided = tuple((f"  avoids {each.scope} {each.id}: {each.cause}", DIM) for each in operation.avoid)
    return (*error, *reasons, *avoided)
