"""deploy: one VM, or many alike. With `--count 0` none: it then only finishes what earlier commands left under way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.exits import Exit, gravest
from interlock.cli.face import Face, command
from interlock.cli.output import note
from interlock.cli.report import document, reporter
from interlock.cli.work import Work, working
from interlock.schema.requests import DeployVM, NicRequest

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

MOST = 10_000
"""VMs of one command. Too low: large fleets take several; too high: a slip of the finger fills the disk."""


@command("deploy")
@click.argument("name", required=False)
@click.option("--offering", metavar="O", help="Size of the VMs.")
@click.option("--template", metavar="T", help="What their root disks are copies of.")
@click.option("--zone", metavar="Z", help="Where; otherwise over the enabled zones in turn.")
@click.option("--account", metavar="A", default="system", show_default=True, help="Whose they are.")
@click.option("--network", "networks", metavar="N", multiple=True, help="A NIC in this network; may be repeated.")
@click.option("--data-disk", "disks", metavar="MIB", type=int, multiple=True, help="A data disk; may be repeated.")
@click.option("--planner", metavar="P", help="Who chooses the hosts.")
@click.option("--no-start", is_flag=True, help="Create them only: Allocated, on no host.")
@click.option("--count", type=click.IntRange(min=0, max=MOST), help="Deploy NAME-1 to NAME-COUNT.")
async def deploy(face: Face, name: str | None, count: int | None, zone: str | None, **wish: Any) -> Exit:
    """Create a VM with its NICs and disks, and run it.

    With --count, VMs are named NAME-1, NAME-2, … With --count 0 nothing is deployed: operations that an earlier
    command left under way are finished, as every command does that changes something.
    """
    names = _names(name or "", count)
    if names:
        _need(NAME=name, **{"--offering": wish["offering"], "--template": wish["template"]})
    async with working(face, reporter(face.out, "deploy")) as work:
        zones = await _zones(work.engine, zone, wish["networks"], len(names))
        for each in names:
            _ask(work, _request(each, next(zones), **wish))
    if not work.known:
        note("nothing was under way")
    if face.out.json:
        face.out.document(document(work))
    return work.exit if names else gravest(result.exit for result in work.taken_over)


def _names(name: str, count: int | None) -> list[str]:
    if count in (None, 1):
        return [name]
    return [f"{name}-{number}" for number in range(1, (count or 0) + 1)]


def _need(**given: str | None) -> None:
    missing = [what for what, value in given.items() if not value]
    if missing:
        raise click.UsageError(
            f"missing {', '.join(missing)} (only `--count 0` goes without)", click.get_current_context()
        )


def _ask(work: Work, request: DeployVM) -> None:
    work.ask(request.name or "", "deploy", lambda: work.engine.deploy(request))


def _request(
    name: str,
    zone: str | None,
    *,
    offering: str,
    template: str,
    account: str,
    networks: tuple[str, ...],
    disks: tuple[int, ...],
    planner: str | None,
    no_start: bool,
) -> DeployVM:
    return DeployVM(
        name=name,
        offering=offering,
        template=template,
        zone=zone,
        account=account,
        nics=tuple(map(NicRequest, networks)),
        data_disks_mib=disks,
        planner=planner,
        start=not no_start,
    )


async def _zones(engine: Engine, given: str | None, networks: tuple[str, ...], count: int) -> Iterator[str | None]:
    """The zone of each VM in turn. A network that is named decides; a single VM is left to the engine."""
    if given is not None:
        return cycle([given])
    places = await engine.places()
    named = [network.zone_id for network in places["network"] if network.id in networks]  # type: ignore[union-attr]
    if named:
        return cycle(named[:1])
    enabled = [zone.id for zone in places["zone"] if zone.enabled]  # type: ignore[union-attr]
    return cycle(enabled if enabled and count > 1 else [None])
