"""How many there are: reads that cost the same however many that is. Triggers count (`schema/tallies.py`).

States that VMs only pass through are counted here, by the index of states: as many are in them as are under way.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, literal, select, union_all

from interlock.schema.tables.cloud import account as accounts
from interlock.schema.tables.cloud import domain
from interlock.schema.tables.derived import vm_tally
from interlock.schema.tables.records import vm
from interlock.schema.tallies import PASSES, STAYS, TALLIED_BY

ROOT = "ROOT"
"""The domain above all."""


def counted(scope: str | None, place: str | None) -> Select[Any]:
    """State and number of VMs, of all, or of one place.

    Args:
        scope: zone, account or host; None: of all.
    """
    if scope == "host":
        # As many as a host has room for: nobody keeps a count of them.
        return select(vm.c.state, func.count()).where(vm.c.host_id == place).group_by(vm.c.state)
    tally = vm_tally.c
    of_place = [] if place is None else [tally.place_id == place]
    of_vm = [] if scope is None else [func.coalesce(vm.c[TALLIED_BY[scope]], "") == place]
    kept = select(tally.state, func.sum(tally.count).label("number"))
    kept = kept.where(tally.scope == (scope or next(iter(TALLIED_BY))), *of_place).group_by(tally.state)
    passing = select(vm.c.state, func.count()).where(vm.c.state.in_(PASSES), *of_vm).group_by(vm.c.state)
    return select(union_all(kept, passing).subquery())


def disks(account: str | None) -> Select[Any]:
    """How many volumes count against limits: all but those that are Expunged."""
    if account is None:
        return select(domain.c.volumes_used).where(domain.c.id == ROOT)
    return select(accounts.c.volumes_used).where(accounts.c.id == account)


def miscounted() -> Select[Any]:
    """For `doctor`: scope, place, state, and by how much too many are counted. It counts every VM."""
    tally = vm_tally.c
    kept = select(tally.scope, tally.place_id, tally.state, tally.count.label("number"))
    there = [
        select(literal(scope), vm.c[column], vm.c.state, -func.count())
        .where(vm.c.state.in_(STAYS))
        .group_by(vm.c[column], vm.c.state)
        for scope, column in TALLIED_BY.items()
    ]
    both = union_all(kept, *there).subquery()
    key = (both.c.scope, both.c.place_id, both.c.state)
    return select(*key, func.sum(both.c.number)).group_by(*key).having(func.sum(both.c.number) != 0)
