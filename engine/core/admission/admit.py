"""The door of admission: a request becomes a queued operation, or is refused.

Promises: a request is admitted whole or refused with `InvalidRequest`, which names the rule's subject and what to
do; nothing is written for a refused one. What only the database can know for sure (the name is free, the VM has no
other operation, the address is free) is proposed here and decided by its unique indexes.
"""

from __future__ import annotations

from interlock.engine.core.access import must_act_for
from interlock.engine.core.decision import Decision
from interlock.engine.core.draft import Draft
from interlock.engine.core.events import Requested
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.operations.deploy import allocate
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.schema.errors import InvalidRequest
from interlock.schema.records import Operation, Vm
from interlock.schema.requests import KIND_OF, DeployVM, as_fields


def admit(snapshot: Snapshot, event: Requested, rules: Rules) -> Decision:
    """The decision that queues the requested operation.

    Raises:
        InvalidRequest: a rule refuses.
    """
    operation_id, *ids = event.ids
    draft = Draft(snapshot, event.at, rules, event.actor, operation_id)
    if isinstance(event.request, DeployVM):
        allocate(draft, event.request, event.caller_id, iter(ids))
    else:
        must_act_for(snapshot.cloud, event.caller_id, draft.vm.account_id)
        _vm_accepts(draft.vm, KIND_OF[type(event.request)])
    _queue(draft, event, operation_id)
    return draft.decision()


def _vm_accepts(vm: Vm, kind: str) -> None:
    """The VM is in a state from which the operation begins."""
    accepts = PROGRAMS[kind].accepts
    if vm.state not in accepts:
        hint = _HINTS.get((kind, vm.state), "")
        raise InvalidRequest(f"cannot {kind} VM {vm.name}: it is {vm.state}, not {' or '.join(accepts)}{hint}")


_HINTS = {
    ("expunge", "Running"): "; destroy it first",
    ("destroy", "Error"): "; it runs nowhere: expunge it",
    ("start", "Destroyed"): "; recover it first",
    ("start", "Error"): "; it never ran: expunge it and deploy anew",
    ("recover", "Stopped"): "; it was not destroyed: start it",
}
"""What to do instead, where it is not obvious."""


def _queue(draft: Draft, event: Requested, operation_id: str) -> None:
    kind = KIND_OF[type(event.request)]
    draft.create(
        Operation,
        id=operation_id,
        kind=kind,
        vm_id=draft.vm.id,
        volume_id=None,
        actor=event.actor,
        caller_id=event.caller_id,
        request=as_fields(event.request),
        step=PROGRAMS[kind].first_undone,
        attempt=1,
        tries=0,
        wake_at=None,
        made=(),
        avoid=(),
        then=None,
        error=None,
        reasons=(),
        worker_id=event.worker_id,
    )
