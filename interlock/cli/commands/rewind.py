"""rewind: the fleet, or one VM with all that belongs to it, as it stood at a moment.

Shown as `show`, `ps` and `hosts` show the present; ages are counted at that moment.
"""

from __future__ import annotations

from typing import Any, cast

import click

from interlock.cli import layout
from interlock.cli.commands import hosts, ps, show
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import DIM, Column, Row, plain
from interlock.cli.moments import TIME, told
from interlock.cli.output import Out
from interlock.cli.past import journal_file, playing
from interlock.cli.times import microseconds_now
from interlock.replay.fleet import Fleet
from interlock.replay.rewind import Moment
from interlock.schema.cloud import PLACES, Host, StoragePool
from interlock.schema.machines import MACHINES
from interlock.schema.records import RECORDS, Nic

STATES = (Column("MACHINE"), Column("STATE"), Column("COUNT", right=True))


@command("rewind")
@click.argument("name", required=False, metavar="[VM]")
@click.option("--at", type=TIME, metavar="TIME", help="A time, as 2026-07-26T14:05:09, 14:05, or 2h30m (ago).")
@click.option("--seq", type=click.IntRange(0), metavar="N", help="After transition N of the journal; 0: the beginning.")
@click.option("--vms", "listed", is_flag=True, help="Of the fleet: list the VMs, too.")
@journal_file
async def rewind(
    face: Face, name: str | None, at: Moment | None, seq: int | None, listed: bool, file: str | None
) -> Exit:
    """Show VM, or the whole fleet, as it stood at a moment.

    --at TIME is all that was written before the first transition that was decided after TIME. Transitions have the
    time of their decision and the order of their commits, so a time may come a little before the one it follows; --seq
    is exact. A fraction of a second counts to the end of its last digit.
    """
    if (at is None) is (seq is None):
        raise click.UsageError("say which moment: --at TIME or --seq N")
    moment = at or Moment(seq=seq)
    async with playing(face, file) as play:
        fleet = await play.to(moment)
    now = max(_time(moment), fleet.time)
    if name is None:
        _fleet(face.out, fleet, now, listed)
    else:
        _vm(face.out, fleet, now, name)
    return Exit.OK


def _time(moment: Moment) -> int:
    """From when ages are counted, if not from a later transition."""
    return microseconds_now() if moment == Moment() else moment.at or 0


def _vm(out: Out, fleet: Fleet, now: int, name: str) -> None:
    vm = fleet.vm(name)
    whole = show.Whole(vm, fleet.nics(vm.id), fleet.volumes(vm.id), fleet.operations(vm.id))
    if out.json:
        out.document({**_moment(fleet), "vm": whole.fields})
    else:
        _head(out, fleet)
        show.tell(out, whole, now)


def _fleet(out: Out, fleet: Fleet, now: int, listed: bool) -> None:
    if out.json:
        out.document(_as_document(fleet))
        return
    _head(out, fleet)
    if listed:
        ps.tell(out, _vms(fleet), now)
        out.line()
    out.table(STATES, _states(fleet))
    out.line()
    hosts.tell(out, cast("list[Host]", fleet.places("host")), cast("list[StoragePool]", fleet.places("storage_pool")))


def _vms(fleet: Fleet) -> ps.Found:
    """Those that are not Expunged, the oldest first, each with its NICs."""
    vms = [vm for _, vm in sorted(fleet.records("vm").items()) if vm.state != "Expunged"]
    nics: dict[str, list[Nic]] = {}
    for nic in sorted(fleet.records("nic").values(), key=lambda nic: nic.device):
        nics.setdefault(nic.vm_id, []).append(nic)
    return [(vm, nics.get(vm.id, [])) for vm in vms]


def _states(fleet: Fleet) -> list[Row]:
    """In the order of a life, each with how many are in it."""
    return [
        Row((plain(name), layout.state(state), plain(str(fleet.counts[name][state]))))
        for name in RECORDS
        for state in MACHINES[name].states
        if fleet.counts[name][state]
    ]


def _head(out: Out, fleet: Fleet) -> None:
    out.line([(f"at {told(fleet.seq, fleet.time)}", DIM)])
    out.line()


def _moment(fleet: Fleet) -> dict[str, Any]:
    return {"seq": fleet.seq, "at": fleet.time}


def _as_document(fleet: Fleet) -> dict[str, Any]:
    return {
        **_moment(fleet),
        "counts": {name: {state: many for state, many in found.items() if many} for name, found in _counted(fleet)},
        "records": {name: list(fleet.records(name).values()) for name in RECORDS},
        "places": {name: fleet.places(name) for name in PLACES},
    }


def _counted(fleet: Fleet) -> list[tuple[str, Any]]:
    return [(name, fleet.counts[name]) for name in RECORDS]
