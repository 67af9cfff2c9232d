"""deploy: one VM, or many alike. With `--count 0` none: it then only finishes what earlier commands left under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import click
import msgspec

from interlock.cli.exits import Exit, gravest
from interlock.cli.face import Face, command
from interlock.cli.face import Work as Command
from interlock.cli.output import note
from interlock.cli.report import document, reporter
from interlock.cli.wishes import DiskOption, LabelOption, NicOption, default_nic, disks, encoded, labels
from interlock.cli.work import Work, working
from interlock.schema.requests import DeployVM

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

MOST = 10_000
"""VMs of one command. Too low: large fleets take several; too high: a slip of the finger fills the disk."""

OPTIONS = (
    click.option("--offering", metavar="O", help="Size of the VMs."),
    click.option("--template", metavar="T", help="What their root disks are copies of, or the ISO they boot."),
    click.option("--zone", metavar="Z", help="Where; otherwise over the enabled zones in turn."),
    click.option("--account", metavar="A", help="Whose they are; otherwise that of --as, or system's."),
    click.option("--display-name", metavar="TEXT", help="What people call it."),
    click.option("--hypervisor", metavar="H", help="Only on hosts that run this."),
    click.option(
        "--nic",
        "--network",
        "nics",
        metavar="NETWORK[,ip=…][,ip6=…][,mac=…]",
        type=NicOption(),
        multiple=True,
        help="A NIC in this network; may be repeated.",
    ),
    click.option("--default-network", metavar="N", help="Which network has the default route; otherwise the first."),
    click.option("--root-size", "root_mib", metavar="MIB", type=int, help="Size of the root disk."),
    click.option("--root-offering", metavar="O", help="Disk offering of the root disk; with an ISO it is needed."),
    click.option(
        "--data-disk",
        "disks",
        metavar="OFFERING[:MIB]|MIB",
        type=DiskOption(),
        multiple=True,
        help="A data disk; may be repeated.",
    ),
    click.option("--cpu-cores", metavar="N", type=int, help="Where the offering leaves it open."),
    click.option("--cpu-mhz", metavar="MHZ", type=int, help="Of one core; where the offering leaves it open."),
    click.option("--memory", "memory_mib", metavar="MIB", type=int, help="Where the offering leaves it open."),
    click.option("--security-group", "security_groups", metavar="G", multiple=True, help="May be repeated."),
    click.option("--affinity-group", "affinity_groups", metavar="G", multiple=True, help="May be repeated."),
    click.option("--planner", metavar="P", help="Who chooses the hosts."),
    click.option("--pod", metavar="P", help="In this pod; administrators only, as the next four."),
    click.option("--cluster", metavar="C", help="In this cluster."),
    click.option("--host", metavar="H", help="On this host."),
    click.option("--cpu-overcommit", metavar="RATIO", type=float, help="It holds its CPU divided by this."),
    click.option("--memory-overcommit", metavar="RATIO", type=float, help="It holds its memory divided by this."),
    click.option("--user-data", metavar="FILE", type=click.File("rb"), help="What the guest is given; -: from here."),
    click.option("--ssh-key", "ssh_keys", metavar="K", multiple=True, help="Name of a key; may be repeated."),
    click.option("--detail", "details", metavar="K=V", type=LabelOption(), multiple=True, help="For the driver."),
    click.option("--tag", "tags", metavar="K=V", type=LabelOption(), multiple=True, help="A label of yours."),
    click.option("--no-start", is_flag=True, help="Create them only: Allocated, on no host."),
    click.option("--count", type=click.IntRange(min=0, max=MOST), help="Deploy NAME-1 to NAME-COUNT."),
)


def _with_options(work: Command) -> Command:
    option: Callable[[Command], Command]
    for option in reversed(OPTIONS):
        work = option(work)
    return work


@command("deploy", asks=True)
@click.argument("name", required=False)
@_with_options
async def deploy(face: Face, name: str | None, count: int | None, **wish: Any) -> Exit:
    """Create a VM with its NICs and disks, and run it. Without NAME one is made.

    With --count, VMs are named NAME-1, NAME-2, … With --count 0 nothing is deployed: operations that an earlier
    command left under way are finished, as every command does that changes something.
    """
    names = _names(name, count)
    if names:
        _need(**{"--offering": wish["offering"], "--template": wish["template"]})
        request = _request(**wish)
    async with working(face, reporter(face.out, "deploy")) as work:
        zones = await _zones(work.engine, request, len(names)) if names else iter(())
        for number, each in enumerate(names, 1):
            asked = msgspec.structs.replace(request, name=each, zone=next(zones))
            _ask(work, each or f"#{number}", asked, face.caller)
    if not work.known:
        note("nothing was under way")
    if face.out.json:
        face.out.document(document(work))
    return work.exit if names else gravest(result.exit for result in work.taken_over)


def _names(name: str | None, count: int | None) -> list[str | None]:
    """The names of the VMs; None: one is made."""
    if count in (None, 1) or name is None:
        return [name] * (1 if count is None else count)
    return [f"{name}-{number}" for number in range(1, (count or 0) + 1)]


def _need(**given: str | None) -> None:
    missing = [what for what, value in given.items() if not value]
    if missing:
        raise click.UsageError(
            f"missing {', '.join(missing)} (only `--count 0` goes without)", click.get_current_context()
        )


def _ask(work: Work, name: str, request: DeployVM, caller: str | None) -> None:
    work.ask(name, "deploy", lambda: work.engine.deploy(request, caller=caller))


def _request(**wish: Any) -> DeployVM:
    """What the options say. Those that are not read here are fields of that name."""
    said = {
        "default_nic": default_nic(wish["nics"], wish.pop("default_network")),
        "details": labels("--detail", wish.pop("details")),
        "tags": labels("--tag", wish.pop("tags")),
        "user_data": encoded(wish.pop("user_data")),
        "start": not wish.pop("no_start"),
        **disks(wish.pop("disks")),
    }
    return DeployVM(**wish, **said)


async def _zones(engine: Engine, request: DeployVM, count: int) -> Iterator[str | None]:
    """The zone of each VM in turn. A network or place that is named decides; a single VM is left to the engine."""
    if request.zone is not None:
        return cycle([request.zone])
    places: dict[str, Any] = await engine.places()
    wanted: dict[str, list[str | None]] = {
        "network": [nic.network for nic in request.nics],
        "host": [request.host],
        "cluster": [request.cluster],
        "pod": [request.pod],
    }
    named = [place.zone_id for kind, ids in wanted.items() for place in places[kind] if place.id in ids]
    if named:
        return cycle(named[:1])
    enabled = [zone.id for zone in places["zone"] if zone.enabled]
    return cycle(enabled if enabled and count > 1 else [None])
