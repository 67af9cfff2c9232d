"""The whole create-VM flow, on clouds and requests that Hypothesis makes: whatever is accepted runs or says why not,
whatever is refused names a rule, and the oracle's promises hold of every committed state.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from interlock import CloudDescription
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Operation
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.events import Ask
from interlock.testing.fuzz.run import rest
from interlock.testing.fuzz.universe import Universe
from tests.bare import sqlite_url
from tests.clouds import toml
from tests.fleets import Fleet, Order, fleets
from tests.oracle import broken
from tests.world import World, world

EXAMPLES, CORE_EXAMPLES = 60, 880
"""Fleets of each share below: with the engine on a database, and with its core alone, which is many times as fast;
2,000 of all. Too low: rare meetings of rules are missed; too high: everybody waits."""
thorough = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize("share", range(2))
@settings(thorough, max_examples=CORE_EXAMPLES)
@given(fleet=fleets())
def test_whatever_the_core_accepts_runs_and_the_fuzzers_oracle_agrees(share: int, fleet: Fleet) -> None:
    """The oracle of the fuzzer shares nothing with that of the tables, and asks after each event."""
    note(toml(fleet.cloud))
    places = tuple(CloudDescription.parse(toml(fleet.cloud)).places)
    universe = Universe(msgspec.structs.replace(ground.setting(), places=places), ("w",))
    for number, order in enumerate(fleet.orders):
        asked = _ask(number, order)
        note(f"{asked} {'accepted' if universe.happen(asked) else 'refused'}")
        for event in rest(universe):
            universe.happen(event)
    universe.oracle.quiet()
    for operation in universe.store.records["operation"].values():
        assert isinstance(operation, Operation)
        _ran_or_says_why(operation)


def _ask(number: int, order: Order) -> Ask:
    if order.request is not None:
        fields = msgspec.to_builtins(order.request)
        return Ask(worker="w", number=number, kind=order.kind, fields={**fields, "name": f"vm-{number}"})
    return Ask(worker="w", number=number, kind=order.kind, fields={"vm": f"{order.vm}-1"})


@pytest.mark.parametrize("share", range(4))
@settings(thorough, max_examples=EXAMPLES)
@given(fleet=fleets(), together=st.booleans())
def test_whatever_is_accepted_runs_and_every_committed_state_is_sound(
    files: Path, share: int, fleet: Fleet, together: bool
) -> None:
    """`share` only lets several workers hunt at once: each has seeds of its own."""
    note(toml(fleet.cloud))
    with TemporaryDirectory() as name:
        shutil.copyfile(files / "current", Path(name) / "flow.db")
        asyncio.run(_play(Path(name), fleet, together))


async def _play(folder: Path, fleet: Fleet, together: bool) -> None:
    description = CloudDescription.parse(toml(fleet.cloud))
    path = folder / "flow.db"
    async with world(folder, url=sqlite_url(path), description=description) as lab:
        with _watched(lab, path):
            deploys = [order for order in fleet.orders if order.kind == "deploy"]
            if together:
                vms = list(await asyncio.gather(*(_deploy(lab, order) for order in deploys)))
            else:
                vms = [await _deploy(lab, order) for order in deploys]
            for order in fleet.orders[len(deploys) :]:
                await _run(lab, order, vms[order.vm])
            assert await lab.engine.check() == []
            await _clear(lab)
        _assert_given_back(path)


@contextmanager
def _watched(lab: World, path: Path) -> Iterator[None]:
    """Ask the oracle after every commit."""
    found: list[str] = []
    tell = lab.engine._store.on_written
    with closing(sqlite3.connect(path)) as connection:

        def look() -> None:
            found.extend(broken(connection))
            tell()

        lab.engine._store.on_written = look
        try:
            yield
        finally:
            lab.engine._store.on_written = tell
        assert not found, found[:5]


async def _deploy(lab: World, order: Order) -> str | None:
    """The VM's id; None if it was refused."""
    assert order.request is not None
    try:
        handle = await lab.engine.deploy(order.request)
    except InvalidRequest as refusal:
        note(f"{order.request} refused: {refusal}")
        _names_a_rule(refusal)
        return None
    operation = await handle.ended()
    note(f"{order.request} {operation.state}: {operation.error}")
    _ran_or_says_why(operation)
    return handle.vm_id


async def _run(lab: World, order: Order, vm_id: str | None) -> None:
    if vm_id is None:
        return
    try:
        operation = await lab.run(order.kind, vm_id)
    except InvalidRequest as refusal:
        note(f"{order.kind} refused: {refusal}")
        _names_a_rule(refusal)
        return
    note(f"{order.kind} {operation.state}: {operation.error}")
    _ran_or_says_why(operation)


def _names_a_rule(refusal: InvalidRequest) -> None:
    """It says what it is about, what is wrong, and what to do."""
    said = str(refusal)
    assert any(re.search(words, said) for words in ABOUT), said
    assert re.search(r"[;:,]| there are | or ", said), f"{said!r} does not say what to do"


ABOUT = (
    r"\b(account|domain|zone|pod|cluster|host|network|offering|template|group|key|disk|VM|address|name)\b",
    r"\b(user_data|security|NIC|cpu|memory|root|setting|pool)",
)


def _ran_or_says_why(operation: Operation) -> None:
    if operation.state == "Succeeded":
        return
    assert operation.state == "Failed", (operation.state, operation.error)
    assert operation.error and re.match(r"no place for VM|no address for VM|VM .* cannot come back", operation.error), (
        operation.error
    )
    if operation.error.startswith("no place"):
        assert operation.reasons
        for candidate, reason in operation.reasons:
            assert re.match(r"(host|cluster|pod|zone) \S+$", candidate) and reason


async def _clear(lab: World) -> None:
    """End everything that is there."""
    running = [vm.id for vm in await lab.vms() if vm.state == "Running"]
    await asyncio.gather(*(lab.run("destroy", vm_id) for vm_id in running))
    rest = [vm.id for vm in await lab.vms() if vm.state != "Expunged"]
    ended = await asyncio.gather(*(lab.run("expunge", vm_id) for vm_id in rest))
    assert all(operation.state == "Succeeded" for operation in ended)


def _assert_given_back(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for table, columns in COUNTERS.items():
            held = connection.execute(f"SELECT id FROM {table} WHERE {' OR '.join(f'{each} <> 0' for each in columns)}")
            assert held.fetchall() == [], table
        owned: Any = connection.execute(
            "SELECT count(*) FROM nic WHERE ip_address IS NOT NULL OR mac_address IS NOT NULL"
        )
        assert owned.fetchone() == (0,)


_BUDGET = ("vms_used", "cores_used", "memory_used_mib", "volumes_used", "storage_used_mib", "ips_used")
COUNTERS = {
    "host": ("cpu_used_mhz", "memory_used_mib"),
    "storage_pool": ("used_mib",),
    "account": _BUDGET,
    "domain": _BUDGET,
}
