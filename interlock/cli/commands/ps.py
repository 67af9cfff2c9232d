"""ps: list VMs, page after page. A pipe gets every column in full, a terminal those that fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click
import msgspec

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import Column, Row, plain
from interlock.cli.output import Out
from interlock.cli.times import age, iso, microseconds_now
from interlock.schema.errors import InvalidRequest
from interlock.schema.machines import MACHINES
from interlock.schema.records import Nic, Vm

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

PAGE = 500
"""VMs read at once. Too low: many reads; too high: memory."""

COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("SINCE", right=True),
    Column("HOST"),
    Column("IP"),
    Column("ZONE", extra=True),
    Column("OFFERING", extra=True),
    Column("ACCOUNT", extra=True),
    Column("ID", extra=True),
    Column("CREATED", extra=True),
)

Found = list[tuple[Vm, list[Nic]]]


@command("ps")
@click.option("--state", metavar="S", help="Only VMs in this state.")
@click.option("--account", metavar="A", help="Only VMs of this account.")
@click.option("--zone", metavar="Z", help="Only VMs in this zone.")
@click.option("--host", metavar="H", help="Only VMs that hold capacity on this host.")
@click.option("--all", "everything", is_flag=True, help="Also Expunged VMs.")
async def ps(
    face: Face, state: str | None, account: str | None, zone: str | None, host: str | None, everything: bool
) -> Exit:
    """List VMs, the oldest first."""
    wanted = _state(state)
    async with face.looking() as engine:
        found: Found = []
        async for page in _pages(engine, state=wanted, account=account, zone=zone, host=host):
            shown = [vm for vm in page if everything or wanted or vm.state != "Expunged"]
            nics = await engine.nics_of([vm.id for vm in shown])
            found += [(vm, nics.get(vm.id, [])) for vm in shown]
    if face.out.json:
        face.out.document([{**msgspec.to_builtins(vm), "nics": nics} for vm, nics in found])
    else:
        tell(face.out, found, microseconds_now())
    return Exit.OK


def _state(given: str | None) -> str | None:
    """The state as it is spelt, whatever the case."""
    if given is None:
        return None
    states = {name.lower(): name for name in MACHINES["vm"].states}
    if given.lower() not in states:
        raise InvalidRequest(f"a VM has no state {given!r}; its states are: {', '.join(states.values())}")
    return states[given.lower()]


async def _pages(engine: Engine, **filters: str | None) -> AsyncIterator[list[Vm]]:
    after = None
    while True:
        page = await engine.vms(after=after, limit=PAGE, **filters)
        yield page.vms
        after = page.next
        if after is None:
            return


def tell(out: Out, found: Found, now: int) -> None:
    """A list of VMs for people.

    Args:
        now: the moment at which it is so, µs.
    """
    if found or not out.terminal:
        out.table(COLUMNS, [_row(vm, nics, now) for vm, nics in found])
    if out.terminal:
        states = Counter(vm.state for vm, _ in found)
        counts = ", ".join(f"{count} {name}" for name, count in sorted(states.items()))
        out.line([(f"{len(found)} VM{'s' * (len(found) != 1)}" + (f": {counts}" if found else ""), layout.DIM)])


def _row(vm: Vm, nics: list[Nic], now: int) -> Row:
    addresses = ",".join(nic.ip_address for nic in nics if nic.ip_address)
    return Row(
        (
            plain(vm.name),
            layout.state(vm.state),
            plain(age(now - vm.since)),
            plain(vm.host_id),
            plain(addresses),
            plain(vm.zone_id),
            plain(vm.offering_id),
            plain(vm.account_id),
            plain(vm.id),
            plain(iso(vm.created_at)),
        )
    )
