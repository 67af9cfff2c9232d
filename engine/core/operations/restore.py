"""restore: make the root disk of a Stopped VM anew, from its own template or another. What was on it is lost.

Legal flow: one step; VM Stopped → Restoring → Stopped. Its announcement makes the record of the new root disk
(Allocated: the next start creates it, in the pool that is planned then) and gives up the old one (Ready → Destroy →
Expunging); once that is deleted its space is free, and the VM's template is that of the new disk. The new disk is at
least as large as the template, and never smaller than the old one was; device, storage and tags are the old one's.
Data disks, NICs and addresses are not touched.

Limits: the account is charged for one root disk at any time, for the new one from the announcement on. So a restore
is refused only if the account may not have the larger disk, before anything is lost; and as the new one is never the
smaller, there is always room to come back.

What unwinding does: the new record ends Expunged, the old disk comes back (Expunging → Destroy → Ready). Nobody can
say of a delete without an answer whether it happened, so the old disk is created again before it is called Ready:
one that is still there is left alone with its data, one that is gone is made anew from the template it came from.
The VM has a disk that its record tells the truth about either way.
Races: the template is chosen by the request; one that is changed or disabled before the next start is used as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core import limits
from interlock.engine.core.admission.lookup import existing
from interlock.engine.core.admission.sources import ISO, hypervisors_must_agree, template_must_be_in, template_of
from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Refusal, Step
from interlock.engine.core.steps.expire import bury_volumes
from interlock.engine.core.steps.specs import create_volumes, delete_volumes
from interlock.schema.cloud import Account, Template, Zone
from interlock.schema.commands import AnyCommand
from interlock.schema.errors import InvalidRequest, OverLimit
from interlock.schema.records import Volume
from interlock.schema.requests import RestoreVM


def _admit(draft: Draft, request: RestoreVM, caller_id: str | None, ids: Iterator[str]) -> None:
    """Whether the root disk may be made anew, and from what; keeps an id for the new one.

    Raises:
        InvalidRequest: a rule refuses.
        OverLimit: the account may not have the larger disk.
    """
    template = _template(draft, request.template or draft.vm.template_id, caller_id)
    if request.template is not None:
        _is_a_disk(template)
    old = _root(draft)
    if old is None:
        raise InvalidRequest(f"VM {draft.vm.name} has no root disk to make anew; deploy it anew")
    if reason := _over_limit(draft, old, template):
        raise OverLimit(f"VM {draft.vm.name} cannot be restored: {reason}")
    draft.noted["made"] = (next(ids),)


def _template(draft: Draft, template_id: str, caller_id: str | None) -> Template:
    """The template is the owner's to use, in the zone, and for the VM's hypervisor."""
    cloud, vm = draft.cloud, draft.vm
    template = template_of(cloud, template_id, existing(cloud, Account, vm.account_id), caller_id)
    template_must_be_in(template, existing(cloud, Zone, vm.zone_id))
    hypervisors_must_agree(template, vm.hypervisor)
    return template


def _is_a_disk(template: Template) -> None:
    """Another template must be one that a root disk can be made from."""
    if template.kind == ISO:
        raise InvalidRequest(f"template {template.id} is an ISO: a root disk is made from a disk template; name one")


def _root(draft: Draft) -> Volume | None:
    """The root disk that the VM has now."""
    roots = (each for each in draft.volumes if each.kind == "ROOT" and each.state in ("Allocated", "Ready"))
    return next(roots, None)


def _size_mib(old: Volume, template: Template) -> int:
    return max(old.size_mib, template.size_mib) if template.kind == "disk" else old.size_mib


def _over_limit(draft: Draft, old: Volume, template: Template) -> str | None:
    """The owner may have the new root disk in place of the old one."""
    more = {"storage": _size_mib(old, template) - old.size_mib}
    return limits.exceeded(draft.cloud, draft.vm.account_id, more)


def _announce(draft: Draft) -> None:
    template_id = draft.operation.request.get("template") or draft.vm.template_id
    template, old = draft.cloud.find(Template, template_id), _root(draft)
    if template is None or old is None:
        raise Refusal(f"VM {draft.vm.name} has no root disk, or there is no template {template_id} any more")
    if reason := _over_limit(draft, old, template):
        raise Refusal(f"VM {draft.vm.name} cannot be restored: {reason}")
    draft.move(draft.vm, "RestoringRequested")
    new = _new_root(draft, old, template)
    given_up = draft.move(old, "DestroyRequested", charged_to=None)
    draft.move(given_up, "ExpungingRequested")
    # After the old one, and not with its creation: new rows are written first, and would count on top.
    draft.move(new, "AttachRequested", charged_to=new.account_id)


def _new_root(draft: Draft, old: Volume, template: Template) -> Volume:
    (volume_id,) = draft.operation.made
    return draft.create(
        Volume,
        id=volume_id,
        vm_id=old.vm_id,
        account_id=old.account_id,
        charged_to=None,
        zone_id=old.zone_id,
        name=old.name,
        kind=old.kind,
        device=old.device,
        size_mib=_size_mib(old, template),
        offering_id=old.offering_id,
        template_id=template.id if template.kind == "disk" else None,
        storage=old.storage,
        storage_tags=old.storage_tags,
        clone=None,
        pool_id=None,
    )


def _delete(draft: Draft) -> tuple[AnyCommand, ...]:
    return delete_volumes(draft, "Expunging")


def _restored(draft: Draft) -> None:
    bury_volumes(draft)
    new = _made(draft)
    template_id = (new.template_id if new else None) or draft.vm.template_id
    draft.move(draft.vm, "RestoringSuccess", template_id=template_id)


def _made(draft: Draft) -> Volume | None:
    return next((each for each in draft.volumes if each.id in draft.operation.made), None)


def _make_sure(draft: Draft) -> tuple[AnyCommand, ...]:
    return create_volumes(draft, "Expunging") if draft.vm.state == "Restoring" else ()


def _back(draft: Draft) -> None:
    if draft.vm.state != "Restoring":
        return
    if (new := _made(draft)) is not None:
        _forget(draft, new)
    for old in draft.volumes:
        if old.state == "Expunging":
            kept = draft.move(old, "OperationFailed", charged_to=old.account_id)
            draft.move(kept, "RecoverRequested")
    draft.move(draft.vm, "RestoringFailed")


def _forget(draft: Draft, new: Volume) -> None:
    doomed = draft.move(new, "DestroyRequested", charged_to=None)
    draft.move(draft.move(doomed, "ExpungingRequested"), "OperationSucceeded")


RESTORE = Program(
    "restore",
    accepts=("Stopped",),
    steps=(
        Step(
            "root",
            Act(announce=_announce, effects=_delete, settle=_restored),
            undo=Act(effects=_make_sure, settle=_back),
        ),
    ),
    admit=_admit,
)
