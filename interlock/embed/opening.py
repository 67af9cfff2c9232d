"""The steps of `Engine.open`, in the order in which it takes them.

Promises: what is opened here is closed when the stack that was handed in is left; nothing is left open by a step that
fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from interlock.engine.core.snapshot import Policy, Rules
from interlock.engine.observer import Observer, Observers
from interlock.engine.orchestrator import plugins
from interlock.engine.orchestrator.orchestrator import Orchestrator, Part
from interlock.engine.store.opening import normal
from interlock.engine.store.store import Store
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.commands import Capability
from interlock.schema.errors import InvalidRequest


def part_of(drives: bool, serves: bool, url: str) -> Part:
    """What an engine does among others.

    Raises:
        InvalidRequest: it is to serve, and cannot.
    """
    if serves and not drives:
        raise InvalidRequest("an engine that serves drives; open it with drives=True, or with serves=False")
    if serves and normal(url).get_backend_name() != "postgresql":
        raise InvalidRequest("on SQLite no process hears what another asks for; workers need PostgreSQL")
    return Part.SERVES if serves else Part.ALL_OF_ITS_OWN if drives else Part.ASKS


async def opened_store(url: str, create: bool, observers: Sequence[Observer], stack: AsyncExitStack) -> Store:
    """The database, and who is told of what happens there.

    Raises:
        StoreError: it cannot be opened.
    """
    store = await Store.open(url, create=create)
    stack.push_async_callback(store.close)
    store.observer = Observers(observers) if observers else None
    return store


def rules_of(
    policy: Policy | None,
    planners: Mapping[str, HostPlanner] | None,
    gurus: Mapping[str, NetworkGuru] | None,
    able: Mapping[str, frozenset[Capability]],
) -> Rules:
    """What the core decides by.

    Raises:
        PluginError: a planner or a guru is none.
    """
    return Rules(
        policy=policy or Policy(),
        planners=plugins.planners(planners or {}),
        gurus=plugins.gurus(gurus or {}),
        capabilities=able,
    )


async def take_over(orchestrator: Orchestrator, *, listen: bool, serves: bool) -> None:
    """Go on with what is there: operations that nobody drives, rules that hosts were not told, what drivers report,
    what is to be expunged or archived."""
    await orchestrator.store.listen(serves=serves)
    await orchestrator.drives.recovery.look()
    orchestrator.convergence.look()
    orchestrator.reconciliation.begin(listen=listen)
    await orchestrator.expiry.begin()
    orchestrator.archival.begin()
