"""doctor: looks for what should not be, and says what is there. It changes nothing, not even to take over."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.cli.commands.init import places_counted
from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import BAD, DIM, HEAD
from interlock.cli.output import Out

if TYPE_CHECKING:
    from interlock.embed.checkup import Finding
    from interlock.embed.strays import Stray

GROUPS = ("planners", "gurus", "drivers")
LABEL = 11


@command("doctor")
async def doctor(face: Face) -> Exit:
    """Check the database's own books, and show what it holds and which plug-ins are installed.

    Exits with 1 if something was found: a counter that is off, a VM that nobody drives, an operation that is Stuck, a
    guest that should not be where it is.
    """
    async with face.looking() as engine:
        findings = [*await engine.check(), *map(_as_finding, await engine.strays())]
        places = await engine.places()
        vms = await engine.counts()
    drivers = sorted({place.driver for kind in ("host", "storage_pool") for place in places[kind]})  # type: ignore[union-attr]
    facts = {
        "database": {"url": face.shown_db, **_size(face.db)},
        "vms": vms,
        "places": {kind: len(found) for kind, found in places.items()},
        "drivers": drivers,
        "plugins": {group: sorted(entry_points(group=f"interlock.{group}").names) for group in GROUPS},
    }
    if face.out.json:
        face.out.document({"findings": findings, **facts})
    else:
        _tell(face.out, facts)
        for finding in findings:
            face.out.line([(f"{finding.code:<{LABEL}}", BAD), (finding.message, "")])
            face.out.line([(" " * LABEL + finding.remedy, DIM)])
        face.out.line([("nothing found", "green") if not findings else (_found(len(findings)), BAD)])
    return Exit.FAILED if findings else Exit.OK


def _as_finding(stray: Stray) -> Finding:
    from interlock.embed.checkup import Finding

    where = f"guest {stray.vm_name or stray.guest_id} ({stray.power}) is on host {stray.host_id}"
    remedy = (
        "see to it there, or say what becomes of such: `interlock settings set vm.unknown.domain quarantine`, or end"
    )
    return Finding(code="stray", message=f"{where}: {stray.why}", remedy=remedy)


def _size(db: str) -> dict[str, int]:
    path = Path(db.partition(":///")[2] or db)
    return {"bytes": path.stat().st_size} if path.is_file() else {}


def _found(count: int) -> str:
    return f"{count} finding{'s' * (count > 1)}"


def _tell(out: Out, facts: dict[str, Any]) -> None:
    database = facts["database"]
    size = f", {database['bytes'] / 1024:.0f} KiB" if "bytes" in database else ""
    _fact(out, "database", database["url"] + size)
    _fact(out, "VMs", ", ".join(f"{count} {state}" for state, count in facts["vms"].items()) or "none")
    _fact(out, "cloud", places_counted(facts["places"]))
    _fact(out, "in use", ", ".join(facts["drivers"]) or "no driver")
    for group, names in facts["plugins"].items():
        _fact(out, group, ", ".join(names) or "none")


def _fact(out: Out, label: str, value: str) -> None:
    out.line([(f"{label:<{LABEL}}", HEAD), (value, "")])
