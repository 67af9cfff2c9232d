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
from interlock.engine.core.inputs import TRACE
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.snapshot import Rules, Snapshot
from interlock.schema.cloud import Account
from interlock.schema.errors import InvalidRequest, NotAllowed
from interlock.schema.records import Operation, Vm
from interlock.schema.requests import KIND_OF, as_fields, subject_of


def admit(snapshot: Snapshot, event: Requested, rules: Rules) -> Decision:
    """The decision that queues the requested operation.

    Raises:
        InvalidRequest: a rule refuses.
    """
    operation_id, *ids = event.ids
    draft = Draft(snapshot, event, rules, event.actor, operation_id)
    kind = KIND_OF[type(event.request)]
    _caller_exists(draft, event.caller_id)
    _is_the_callers(draft, event.caller_id)
    if draft.has_vm and (why := unfit(draft.vm, kind)):
        raise InvalidRequest(why)
    PROGRAMS[kind].admit(draft, event.request, event.caller_id, iter(ids))
    _queue(draft, event, operation_id)
    return draft.decision()


def _caller_exists(draft: Draft, caller_id: str | None) -> None:
    """The account on whose rights it is asked is one, and enabled."""
    if caller_id is None:
        return
    caller = draft.cloud.find(Account, caller_id)
    if caller is None:
        raise NotAllowed(f"there is no account {caller_id!r} on whose rights to ask")
    if not caller.enabled:
        raise NotAllowed(f"account {caller_id} is disabled; an administrator can enable it")


def _is_the_callers(draft: Draft, caller_id: str | None) -> None:
    """What the request is about belongs to the caller, or to somebody it acts for."""
    owners = {draft.vm.account_id} if draft.has_vm else set()
    for owner in owners | {volume.account_id for volume in draft.volumes}:
        must_act_for(draft.cloud, caller_id, owner)


def unfit(vm: Vm, kind: str) -> str | None:
    """Why the operation does not begin in the VM's state; None if it does."""
    accepts = PROGRAMS[kind].accepts
    if vm.state in accepts:
        return None
    hint = _HINTS.get((kind, vm.state), "")
    return f"cannot {kind} VM {vm.name}: it is {vm.state}, not {' or '.join(accepts)}{hint}"


_HINTS = {
    ("expunge", "Running"): "; destroy it first",
    ("destroy", "Error"): "; it runs nowhere: expunge it",
    ("start", "Destroyed"): "; recover it first",
    ("start", "Error"): "; it never ran: expunge it and deploy anew",
    ("migrate", "Stopped"): "; it starts on any host that fits",
    ("restore", "Running"): "; stop it first",
    ("restore", "Allocated"): "; its root disk is made when it first starts",
    ("assign", "Running"): "; stop it first",
    ("recover", "Stopped"): "; it was not destroyed: start it",
}
"""What to do instead, where it is not obvious."""


def _queue(draft: Draft, event: Requested, operation_id: str) -> None:
    kind, request = KIND_OF[type(event.request)], as_fields(event.request)
    if event.trace is not None:
        draft.detail[TRACE] = event.trace
    draft.create(
        Operation,
        id=operation_id,
        kind=kind,
        vm_id=draft.vm.id if draft.has_vm else None,
        volume_id=subject_of(event.request)[1] or (None if draft.has_vm or not draft.volumes else draft.volumes[0].id),
        actor=event.actor,
        caller_id=event.caller_id,
        request=request,
        steps=PROGRAMS[kind].names_of(request),
        step=PROGRAMS[kind].first_undone,
        attempt=1,
        tries=0,
        wake_at=None,
        made=draft.noted.pop("made", ()),
        kept={},
        avoid=(),
        then=None,
        error=None,
        reasons=(),
        worker_id=event.worker_id,
    )
