"""What somebody writes by hand: SQL against our tables, with a journal row or without, right or wrong.

`Hand` knows how a right change looks, so that a test can make exactly one thing wrong. A refusal is held to change
nothing: on SQLite what the statement did before it failed must be gone by itself; on PostgreSQL the savepoint says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from interlock.schema.interlocks import BY_ENTRY, Holds, HoldsNo
from interlock.schema.machine import CREATED, NOT_YET
from interlock.schema.machines import MACHINES, TABLE_VERSION
from interlock.schema.tables import metadata
from tests.bare import Bare, Refused, literal, value

Row = dict[str, Any]

HELD = {
    "host_id": "h-2",
    "target_host_id": "h-1",
    "charged_to": "acme",
    "pool_id": "nfs",
    "ip_address": "10.0.0.200",
    "ip6_address": "fd00::c8",
    "mac_address": "02:00:00:00:00:c8",
    "host_name": "loose",
}
"""What an entity holds that holds something, unless a test says otherwise."""

LOOSE: dict[str, Row] = {
    "vm": {
        "id": "loose-vm",
        "name": "loose",
        "name_scope": "acme",
        "display_name": None,
        "instance_name": "i-acme-loose",
        "account_id": "acme",
        "charged_to": "acme",
        "zone_id": "z",
        "offering_id": "small",
        "template_id": "t",
        "hypervisor": None,
        "cpu_cores": 1,
        "cpu_mhz": 1000,
        "memory_mib": 1024,
        "own_cpu_overcommit": None,
        "own_memory_overcommit": None,
        "cpu_held_mhz": 500,
        "memory_held_mib": 1024,
        "planner": "first-fit",
        "host_id": None,
        "target_host_id": None,
        "last_host_id": None,
        "affinity_groups": "[]",
        "security_groups": "[]",
        "rules_told": 0,
        "user_data": None,
        "ssh_keys": "[]",
        "details": "{}",
        "tags": "{}",
    },
    "nic": {
        "id": "loose-nic",
        "vm_id": "loose-vm",
        "network_id": "net",
        "device": 0,
        "is_default": True,
        "wished_ip": None,
        "ip_address": None,
        "ip6_address": None,
        "mac_address": None,
        "gateway": None,
        "netmask": None,
        "host_name": None,
        "charged_to": None,
    },
    "volume": {
        "id": "loose-volume",
        "vm_id": "loose-vm",
        "account_id": "acme",
        "charged_to": "acme",
        "zone_id": "z",
        "name": "ROOT-loose",
        "kind": "ROOT",
        "device": 0,
        "size_mib": 10,
        "offering_id": None,
        "template_id": None,
        "storage": "shared",
        "storage_tags": "[]",
        "clone": None,
        "pool_id": None,
    },
    "operation": {
        "id": "loose-operation",
        "kind": "deploy",
        "vm_id": "loose-vm",
        "volume_id": None,
        "actor": "hand",
        "caller_id": None,
        "request": "{}",
        "steps": "[]",
        "step": 0,
        "attempt": 1,
        "tries": 0,
        "wake_at": None,
        "made": "[]",
        "kept": "{}",
        "avoid": "[]",
        "then": None,
        "error": None,
        "reasons": "[]",
        "worker_id": None,
    },
}
"""One new entity of each machine, that belongs to the first of them."""


class Hand:
    """Writes SQL by hand."""

    def __init__(self, database: Bare) -> None:
        self.database = database
        self._savepoints = 0

    # What is there

    async def row(self, machine: str, entity_id: str) -> Row:
        """An entity's columns."""
        names = metadata.tables[machine].c.keys()
        listed = ", ".join(f'"{name}"' for name in names)
        [found] = await self.database.rows(f"SELECT {listed} FROM {machine} WHERE id = {literal(entity_id)}")
        return dict(zip(names, found, strict=True))

    async def named(self, name: str) -> Row:
        """A VM."""
        return await self.row("vm", await value(self.database, f"SELECT id FROM vm WHERE name = {literal(name)}"))

    async def part(self, machine: str, name: str) -> Row:
        """The NIC, volume or operation of a VM that has one."""
        vm = await self.named(name)
        found = await value(self.database, f"SELECT id FROM {machine} WHERE vm_id = {literal(vm['id'])}")
        return await self.row(machine, found)

    async def everything(self) -> dict[str, set[tuple[Any, ...]]]:
        """All rows there are."""
        return {name: set(await self.database.rows(f'SELECT * FROM "{name}"')) for name in metadata.tables}

    # Statements

    def journaled(self, machine: str, row: Row, /, **columns: Any) -> str:
        """The journal row of a change to `row`: from the state it is in, at its next version, unless told otherwise."""
        values = {
            "at": 1,
            "machine": machine,
            "entity_id": row["id"],
            "vm_id": row.get("vm_id", row["id"]),
            "version": row["version"] + 1,
            "event": "ByHand",
            "source": row["state"],
            "destination": row["state"],
            "operation_id": None,
            "actor": "hand",
            "cause": None,
            "changes": "{}",
            "ledger": "[]",
            "detail": None,
            "tables": TABLE_VERSION,
            "prev": row["hash"],
            "hash": f"hash {row['version'] + 1}",
            **columns,
        }
        texts = ["(SELECT coalesce(max(seq), 0) + 1 FROM journal)", *map(literal, values.values())]
        return f"INSERT INTO journal (seq, {', '.join(values)}) VALUES ({', '.join(texts)})"

    def changed(self, machine: str, row: Row, /, **columns: Any) -> str:
        """The UPDATE that goes with `journaled`."""
        values = {"version": row["version"] + 1, "hash": f"hash {row['version'] + 1}", **columns}
        listed = ", ".join(f"{name} = {self._literal(name, each)}" for name, each in values.items())
        return f"UPDATE {machine} SET {listed} WHERE id = {literal(row['id'])}"

    def born(self, machine: str, **columns: Any) -> tuple[str, str]:
        """A new loose entity: its journal row and itself."""
        initial = MACHINES[machine].initial
        row = {
            **LOOSE[machine],
            "created_at": 1,
            "state": initial,
            "since": 1,
            "version": 1,
            "hash": "hash 1",
            **columns,
        }
        before = {**row, "version": 0, "state": NOT_YET, "hash": ""}
        entry = self.journaled(machine, before, event=CREATED, destination=row["state"])
        return entry, self.inserted(machine, row)

    def inserted(self, machine: str, row: Row, how: str = "INSERT") -> str:
        """The INSERT of a row."""
        texts = [self._literal(name, each) for name, each in row.items()]
        names = ", ".join(f'"{name}"' for name in row)
        return f"{how} INTO {machine} ({names}) VALUES ({', '.join(texts)})"

    def _literal(self, name: str, each: Any) -> str:
        if name == "is_default" and self.database.dialect == "postgresql":
            return str(bool(each))
        return literal(int(each) if isinstance(each, bool) else each)

    # Changes

    async def run(self, *statements: str) -> None:
        """Run statements; they must be accepted."""
        for statement in statements:
            await self.database.run(statement)

    async def change(self, machine: str, entity_id: str, how: str = "UPDATE", /, **columns: Any) -> tuple[str, str]:
        """The statements that change columns and no state: right ones but for what the columns say."""
        row = await self.row(machine, entity_id)
        return self.journaled(machine, row), self.changed(machine, row, **columns).replace("UPDATE", how, 1)

    async def move(self, machine: str, entity_id: str, state: str, **columns: Any) -> None:
        """Take a legal step, holding what its interlock asks for."""
        row = await self.row(machine, entity_id)
        values = {"state": state, **what_it_holds(machine, state), **columns}
        await self.run(self.journaled(machine, row, destination=state), self.changed(machine, row, **values))

    async def loose(self, *machines: str) -> None:
        """New entities, with nobody around them: a VM, and what else is named."""
        for machine in ("vm", *machines):
            await self.run(*self.born(machine))

    async def walk(self, machine: str, entity_id: str, state: str) -> None:
        """Take legal steps to a state, the fewest."""
        row = await self.row(machine, entity_id)
        for each in path(machine, row["state"], state):
            await self.move(machine, entity_id, each)

    async def refusal(self, *statements: str) -> str:
        """Run statements of which the last must be refused and change nothing; returns the words of the refusal."""
        async with self.undone():
            await self.run(*statements[:-1])
            before = await self.everything()
            async with self.undone(only="postgresql"):
                try:
                    await self.run(statements[-1])
                except Refused as refused:
                    said = str(refused)
                else:
                    raise AssertionError(f"accepted: {statements[-1]}")
            assert await self.everything() == before
            return said

    @asynccontextmanager
    async def undone(self, only: str = "") -> AsyncIterator[None]:
        """Roll back what happens inside."""
        if only not in ("", self.database.dialect):
            yield
            return
        self._savepoints += 1
        name, outermost = f"hand_{self._savepoints}", self._savepoints == 1
        await self.database.run("BEGIN" if outermost else f"SAVEPOINT {name}")
        try:
            yield
        finally:
            await self.database.run("ROLLBACK" if outermost else f"ROLLBACK TO SAVEPOINT {name}")
            self._savepoints -= 1


def what_it_holds(machine: str, state: str) -> Row:
    """The columns that the interlock of a state wants held or empty."""
    row = BY_ENTRY.get((machine, state))
    held = {need.column: HELD[need.column] for need in (row.needs if row else ()) if isinstance(need, Holds)}
    empty = {need.column: None for need in (row.needs if row else ()) if isinstance(need, HoldsNo)}
    return {**held, **empty}


def path(machine: str, source: str, destination: str) -> list[str]:
    """The states after `source` on the shortest way to `destination`."""
    ways: dict[str, list[str]] = {source: []}
    frontier = [source]
    while frontier:
        state = frontier.pop(0)
        for before, after in MACHINES[machine].steps():
            if before == state and after not in ways:
                ways[after] = [*ways[state], after]
                frontier.append(after)
    return ways[destination]
