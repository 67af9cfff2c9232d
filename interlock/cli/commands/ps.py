"""ps: list VMs, or count them. A pipe gets every column in full, a terminal those that fit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click
import msgspec

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import Column, Row, plain
from interlock.cli.listing import collected, given, not_with_count, order_of, paged, tell_more
from interlock.cli.output import Out
from interlock.cli.times import age, iso, microseconds_now
from interlock.schema.errors import InvalidRequest
from interlock.schema.machines import MACHINES
from interlock.schema.records import Nic, Vm

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

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

COUNTS = (Column("STATE"), Column("VMS", right=True))

Found = list[tuple[Vm, list[Nic]]]


COUNTED_BY = ("--zone", "--account", "--host", "--state")
"""What `--count` goes with."""


@command("ps")
@click.option("--state", metavar="S", help="Only VMs in this state.")
@click.option("--account", metavar="A", help="Only VMs of this account.")
@click.option("--zone", metavar="Z", help="Only VMs in this zone.")
@click.option("--cluster", metavar="C", help="Only VMs that hold capacity in this cluster.")
@click.option("--host", metavar="H", help="Only VMs that hold capacity on this host.")
@click.option("--prefix", metavar="P", help="Only VMs whose names begin so, by name.")
@click.option("--network", metavar="N", help="Only VMs with a NIC on this network.")
@click.option("--offering", metavar="O", help="Only VMs of this size.")
@click.option("--group", metavar="G", help="Only VMs in this security group, ACCOUNT/NAME.")
@click.option("--affinity-group", "affinity", metavar="G", help="Only VMs in this affinity group.")
@click.option("--tag", metavar="KEY=VALUE", help="Only VMs with this tag.")
@click.option("--all", "everything", is_flag=True, help="Also Expunged VMs.")
@click.option("--youngest", is_flag=True, help="The youngest first.")
@click.option("--count", is_flag=True, help="Only how many there are, by state.")
@paged("VMs")
async def ps(
    face: Face,
    after: str | None,
    limit: int,
    count: bool,
    everything: bool,
    youngest: bool,
    state: str | None,
    tag: str | None,
    **filters: str | None,
) -> Exit:
    """List VMs, the oldest first."""
    wanted, living = _state(state), not everything and state is None
    if count:
        return await _count(face, wanted, everything, {**filters, "tag": tag})
    order = order_of(filters["prefix"], youngest)
    labelled = _tag(tag)
    async with face.looking() as engine:

        async def fetch(after: str | None, limit: int) -> tuple[Found, str | None]:
            page = await engine.vms(
                state=wanted, living=living, tag=labelled, order=order, after=after, limit=limit, **filters
            )
            return await _with_nics(engine, page.vms), page.next

        found, more = await collected(fetch, after, limit)
    if face.out.json:
        face.out.document([{**msgspec.to_builtins(vm), "nics": nics} for vm, nics in found])
    else:
        tell(face.out, found, microseconds_now())
    tell_more(face.out, more)
    return Exit.OK


async def _with_nics(engine: Engine, vms: list[Vm]) -> Found:
    nics = await engine.nics_of([vm.id for vm in vms])
    return [(vm, nics.get(vm.id, [])) for vm in vms]


async def _count(face: Face, state: str | None, everything: bool, filters: dict[str, str | None]) -> Exit:
    not_with_count(given(**filters), COUNTED_BY)
    async with face.looking() as engine:
        found = await engine.counts(zone=filters["zone"], account=filters["account"], host=filters["host"])
    shown = {
        name: number
        for name, number in found.items()
        if name == state or (state is None and (everything or name != "Expunged"))
    }
    if face.out.json:
        face.out.document(shown)
    else:
        face.out.table(COUNTS, [Row((layout.state(name), plain(number))) for name, number in shown.items()])
        if face.out.terminal:
            face.out.line([(f"{sum(shown.values())} VMs", layout.DIM)])
    return Exit.OK


def _tag(said: str | None) -> tuple[str, str] | None:
    if said is None:
        return None
    key, there, value = said.partition("=")
    if not there:
        raise click.UsageError(f"a tag is KEY=VALUE, not {said!r}")
    return key, value


def _state(said: str | None) -> str | None:
    """The state as it is spelt, whatever the case."""
    if said is None:
        return None
    states = {name.lower(): name for name in MACHINES["vm"].states}
    if said.lower() not in states:
        raise InvalidRequest(f"a VM has no state {said!r}; its states are: {', '.join(states.values())}")
    return states[said.lower()]


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
