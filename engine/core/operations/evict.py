"""evict: do with a guest that is no VM of ours what setting `vm.unknown.domain` says: halt it, or end it.

Legal flow: look → evict. It is about no VM and no disk: it writes nothing but its own record, which keeps what was
found and what was done. A guest that is not there any more is left at that. Nothing is undone: neither can be.

Its fence is its own journal number, as everywhere, noted by the driver under the name of the guest. That name is no VM
of this database, and never will be: rows of VMs are never deleted, and are committed before anything of them is started
(the shell asks the database before it asks for this, and refuses what is a VM). Where two databases share hosts, each
sees the other's guests as strays, and a fence of one would bar the other's commands: leave the setting at report there.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.access import is_admin
from interlock.engine.core.draft import Draft
from interlock.engine.core.operations.strays import REPORT, setting_on, treatment, treatments
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.specs import Addressed
from interlock.schema.cloud import Host
from interlock.schema.commands import AnyCommand, Done, LookForDomain
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.reports import Power
from interlock.schema.requests import EvictGuest
from interlock.schema.settings import UNKNOWN_DOMAIN


def _admit(draft: Draft, request: EvictGuest, caller_id: str | None, ids: Iterator[str]) -> None:
    """Whether anything is to be done about it.

    Raises:
        InvalidRequest: a rule refuses.
    """
    if not is_admin(draft.cloud, caller_id):
        raise NotAllowed(f"account {caller_id} may not evict guests: ask an administrator")
    host = draft.cloud.find(Host, request.host)
    if host is None:
        raise NotFound(f"there is no host {request.host!r}; `interlock hosts` lists them")
    if setting_on(draft, host) == REPORT:
        raise InvalidRequest(
            f"guest {request.guest} on host {host.id} is left alone: setting {UNKNOWN_DOMAIN.name} is {REPORT} there"
        )


def _addressed(draft: Draft) -> Addressed:
    request = draft.operation.request
    host = draft.cloud.find(Host, request["host"])
    assert host is not None, "admission saw it, and places are never removed"
    guest = request["guest"]
    return Addressed(driver=host.driver, at=host.id, vm_id=guest, subject=f"guest {guest}")


def _look(draft: Draft) -> tuple[AnyCommand, ...]:
    return (LookForDomain(**_addressed(draft)),)


def _looked(draft: Draft) -> None:
    [outcome] = draft.outcomes
    found = outcome.found if isinstance(outcome, Done) else None
    there = found is not None and found.power is not Power.ABSENT
    how = treatment(draft, (draft.operation.request["host"],)) if there else REPORT
    draft.noted["kept"] = {"found": str(found), "treatment": how}


def _evict(draft: Draft) -> tuple[AnyCommand, ...]:
    kept = draft.noted.get("kept") or draft.operation.kept
    return treatments(kept["treatment"], _addressed(draft))


EVICT = Program(
    "evict",
    accepts=(),
    steps=(Step("look", Act(effects=_look, settle=_looked)), Step("evict", Act(effects=_evict))),
    admit=_admit,
)
