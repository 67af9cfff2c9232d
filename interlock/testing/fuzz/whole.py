"""The look at all tables: that nothing is otherwise than the journal makes it, also where no event has been lately.

After each event the oracle looks at what the event touched. That is enough as long as nothing changes untouched; here
this is asked of everything: records, places, the lists that the tables keep besides them, and the journal's own rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.engine.core.chronicle import same
from interlock.engine.core.rebuild import Rebuild
from interlock.engine.store.memory import NAMELESS, TERMINAL, MemoryStore
from interlock.schema.holdings import UNIQUE
from interlock.schema.operation import ACTIVE, DRIVEN
from interlock.schema.records import Operation
from interlock.schema.transition import Entry
from interlock.testing.fuzz.books import Records
from interlock.testing.fuzz.violation import Violation


def look(store: MemoryStore, rebuilt: Rebuild, read: Sequence[Entry]) -> None:
    """Hold all tables against the journal.

    Args:
        store: the tables.
        rebuilt: what the journal makes of them.
        read: the journal's rows as they were when they were written.

    Raises:
        Violation: something changed that no row tells of.
    """
    if store.journal != read:
        raise Violation("journal", f"of {len(read)} rows that were written, some are gone or are others now")
    for machine, told in rebuilt.records.items():
        if store.records[machine] != told:
            raise Violation("rebuild", f"{_first(store.records[machine], told, machine)}")
    for name in rebuilt.places:
        described(store, rebuilt, name)
    for what, told in _lists(store.records).items():
        kept = {key: value for key, value in getattr(store, what).items() if value != {}}
        if kept != told:
            raise Violation("tables", f"{_first(kept, told, what)}")


def described(store: MemoryStore, rebuilt: Rebuild, name: str) -> None:
    """Hold one table of places against the journal, but for what is counted there.

    Raises:
        Violation: a place is otherwise than it was described.
    """
    places, told = store.places[name], rebuilt.places[name]
    if places.keys() != told.keys() or not all(same(name, places[each], told[each]) for each in told):
        raise Violation("rebuild", f"the places of {name} are not what the journal makes of them")


def _first(there: Mapping[Any, Any], told: Mapping[Any, Any], what: str) -> str:
    """Where two tables differ, in words."""
    key = next(each for each in (*told, *there) if each not in there or each not in told or there[each] != told[each])
    return f"{what} {key} is not what the journal makes of it: {there.get(key)}, and not {told.get(key)}"


def _lists(records: Records) -> dict[str, dict[Any, Any]]:
    """What the tables in memory keep so that they need not look for it, by attribute."""
    operations = records["operation"].values()
    vms = records["vm"].values()
    return {
        "parts": _parts(records),
        "active": {key: each.id for each in operations if each.state in ACTIVE for key in _subjects(each)},
        "driven": {each.id: None for each in operations if each.state in DRIVEN},
        "stuck": {each.id: None for each in operations if each.state == "Stuck"},
        "names": {(vm.name_scope, vm.name): vm.id for vm in vms if vm.state not in NAMELESS},
        "owned": {
            (row.thing, *(getattr(each, column) for column in row.scope), getattr(each, row.key)): each.id
            for row in UNIQUE
            for each in records[row.holder].values()
            if getattr(each, row.key) is not None
        },
    }


def _parts(records: Records) -> dict[str, dict[str, Any]]:
    """NICs and volumes that live, by VM."""
    found: dict[str, dict[str, Any]] = {}
    for machine in ("nic", "volume"):
        for each in records[machine].values():
            if each.vm_id is not None and each.state not in TERMINAL[machine]:
                found.setdefault(each.vm_id, {})[each.id] = each
    return found


def _subjects(operation: Operation) -> list[tuple[str, str]]:
    subjects = (("vm", operation.vm_id), ("volume", operation.volume_id))
    return [(kind, each) for kind, each in subjects if each is not None]
