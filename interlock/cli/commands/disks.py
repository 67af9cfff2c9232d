"""disks: list them; create-disk, attach-disk, detach-disk, resize-disk, delete-disk: the operations on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from interlock.cli import layout
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import Column, Row, plain
from interlock.cli.listing import collected, given, not_with_count, order_of, paged, tell_more
from interlock.cli.output import Out
from interlock.cli.report import document, reporter
from interlock.cli.times import age, iso, microseconds_now
from interlock.cli.work import Work, working
from interlock.schema.errors import InvalidRequest
from interlock.schema.machines import MACHINES
from interlock.schema.records import Vm, Volume
from interlock.schema.requests import CreateDisk

if TYPE_CHECKING:
    from interlock.embed.engine import Engine
    from interlock.embed.handle import Handle

COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("SINCE", right=True),
    Column("SIZE", right=True),
    Column("VM"),
    Column("POOL"),
    Column("ZONE", extra=True),
    Column("OFFERING", extra=True),
    Column("ACCOUNT", extra=True),
    Column("ID", extra=True),
    Column("CREATED", extra=True),
)

Found = list[tuple[Volume, Vm | None]]
Ask = Callable[[], Awaitable["Handle"]]


@command("disks")
@click.option("--state", metavar="S", help="Only disks in this state.")
@click.option("--account", metavar="A", help="Only disks of this account.")
@click.option("--zone", metavar="Z", help="Only disks in this zone.")
@click.option("--pool", metavar="P", help="Only disks that take space in this pool.")
@click.option("--vm", metavar="NAME", help="Only disks of this VM.")
@click.option("--prefix", metavar="P", help="Only disks whose names begin so, by name.")
@click.option("--free", is_flag=True, help="Only disks that belong to no VM.")
@click.option("--all", "everything", is_flag=True, help="Also Expunged disks.")
@click.option("--youngest", is_flag=True, help="The youngest first.")
@click.option("--count", is_flag=True, help="Only how many there are that are not Expunged.")
@paged("disks")
async def disks(
    face: Face,
    after: str | None,
    limit: int,
    count: bool,
    everything: bool,
    youngest: bool,
    free: bool,
    state: str | None,
    vm: str | None,
    **filters: str | None,
) -> Exit:
    """List disks, the oldest first."""
    if count:
        return await _count(face, {**filters, "state": state, "vm": vm, "free": free, "all": everything})
    wanted, living = _state(state), not everything and state is None
    order = order_of(filters["prefix"], youngest)
    async with face.looking() as engine:
        owner = (await engine.vm(vm)).id if vm else None

        async def fetch(after: str | None, limit: int) -> tuple[Found, str | None]:
            page = await engine.disks(
                state=wanted, living=living, vm=owner, free=free, order=order, after=after, limit=limit, **filters
            )
            return await _owned(engine, page.disks), page.next

        found, more = await collected(fetch, after, limit)
    if face.out.json:
        face.out.document([disk for disk, _ in found])
    else:
        _tell(face.out, found)
    tell_more(face.out, more)
    return Exit.OK


async def _owned(engine: Engine, volumes: list[Volume]) -> Found:
    vms = await engine.vms_of(list({each.vm_id for each in volumes if each.vm_id}))
    return [(each, vms.get(each.vm_id or "")) for each in volumes]


async def _count(face: Face, filters: dict[str, Any]) -> Exit:
    not_with_count(given(**filters), ("--account",))
    async with face.looking() as engine:
        number = await engine.disk_count(account=filters["account"])
    if face.out.json:
        face.out.document({"disks": number})
    else:
        face.out.line(str(number))
    return Exit.OK


def _state(said: str | None) -> str | None:
    """The state as it is spelt, whatever the case."""
    if said is None:
        return None
    states = {name.lower(): name for name in MACHINES["volume"].states}
    if said.lower() not in states:
        raise InvalidRequest(f"a disk has no state {said!r}; its states are: {', '.join(states.values())}")
    return states[said.lower()]


def _tell(out: Out, found: Found) -> None:
    if found or not out.terminal:
        out.table(COLUMNS, [_row(disk, vm) for disk, vm in found])
    if out.terminal:
        free = sum(disk.vm_id is None for disk, _ in found)
        words = f"{len(found)} disk{'s' * (len(found) != 1)}, {free} of no VM"
        out.line([(words, layout.DIM)])


def _row(disk: Volume, vm: Vm | None) -> Row:
    return Row(
        (
            plain(disk.name),
            layout.state(disk.state),
            plain(age(microseconds_now() - disk.since)),
            plain(f"{disk.size_mib} MiB"),
            plain(vm.name if vm else None),
            plain(disk.pool_id),
            plain(disk.zone_id),
            plain(disk.offering_id),
            plain(disk.account_id),
            plain(disk.id),
            plain(iso(disk.created_at)),
        )
    )


@command("create-disk")
@click.argument("name")
@click.option("--offering", metavar="O", required=True, help="Disk offering.")
@click.option("--size", "size_mib", metavar="MIB", type=int, help="Where the offering leaves it open.")
@click.option("--zone", metavar="Z", required=True, help="Where.")
@click.option("--account", metavar="A", default="system", show_default=True, help="Whose it is.")
async def create_disk(face: Face, name: str, offering: str, size_mib: int | None, zone: str, account: str) -> Exit:
    """Make a data disk that belongs to no VM. It takes space when it is first attached to a VM that runs."""
    request = CreateDisk(name=name, offering=offering, size_mib=size_mib, zone=zone, account=account)
    return await _one(face, name, "create-disk", lambda work: partial(work.engine.create_disk, request))


@command("attach-disk")
@click.argument("vm")
@click.argument("disk")
async def attach_disk(face: Face, vm: str, disk: str) -> Exit:
    """Give DISK, which belongs to no VM, to VM, which may run. Both may be ids."""
    return await _one(
        face, disk, "attach-disk", lambda work: partial(work.engine.attach_disk, vm, disk), vm=vm, disk=disk
    )


@command("resize-disk")
@click.argument("disk")
@click.argument("size_mib", metavar="MIB", type=int)
@click.option("--shrink", is_flag=True, help="It may become less, and lose data.")
async def resize_disk(face: Face, disk: str, size_mib: int, shrink: bool) -> Exit:
    """Give DISK, of a VM or of none, another size. DISK may be an id."""
    return await _one(
        face,
        disk,
        "resize-disk",
        lambda work: partial(work.engine.resize_disk, disk, size_mib, shrink=shrink),
        disk=disk,
    )


async def _one(
    face: Face,
    name: str,
    kind: str,
    request: Callable[[Work], Ask],
    *,
    vm: str | None = None,
    disk: str | None = None,
) -> Exit:
    """Ask for one operation, and wait for its end."""
    async with working(face, reporter(face.out, kind)) as work:
        work.ask(name, kind, request(work), vm=vm, disk=disk)
    if face.out.json:
        face.out.document(document(work))
    return work.exit


def _on_each(kind: str, help: str) -> click.Command:
    async def work(face: Face, names: tuple[str, ...]) -> Exit:
        async with working(face, reporter(face.out, kind)) as under_way:
            method = getattr(under_way.engine, kind.replace("-", "_"))
            for name in dict.fromkeys(names):
                under_way.ask(name, kind, partial(method, name), disk=name)
        if face.out.json:
            face.out.document(document(under_way))
        return under_way.exit

    work.__doc__ = help
    return command(kind)(click.argument("names", nargs=-1, required=True, metavar="DISK...")(work))


detach_disk = _on_each(
    "detach-disk", "Take data disks from their VMs, also those that run; they keep their data. DISK may be an id."
)
delete_disk = _on_each("delete-disk", "End disks that belong to no VM, for good. DISK may be an id.")
