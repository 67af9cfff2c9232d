"""expunge: end a VM for good.

Legal flow: volumes (deleted, space given back) → addresses (given back); VM → Expunging → Expunged. A deleted disk
cannot come back, so the undo does not pretend: volumes not known to be gone stand in Destroy and still hold their
space, the VM in Error, and expunge may be asked again until it succeeds. CloudStack looped in Expunging here
(PR 12749).
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.expire import bury_volumes, doom_volumes, free_addresses
from interlock.engine.core.steps.specs import delete_volumes
from interlock.schema.commands import AnyCommand


def _announce(draft: Draft) -> None:
    draft.move(draft.vm, "ExpungeOperation", charged_to=None)
    doom_volumes(draft)


def _delete(draft: Draft) -> tuple[AnyCommand, ...]:
    return delete_volumes(draft, "Expunging")


def _keep(draft: Draft) -> None:
    for volume in draft.volumes:
        if volume.state == "Expunging":
            draft.move(volume, "OperationFailed")
    draft.move(draft.vm, "OperationFailed")


def _end(draft: Draft) -> None:
    free_addresses(draft)
    draft.move(draft.vm, "OperationSucceeded")


EXPUNGE = Program(
    "expunge",
    accepts=("Allocated", "Stopped", "Destroyed", "Error"),
    steps=(
        Step("volumes", Act(announce=_announce, effects=_delete, settle=bury_volumes), undo=Act(settle=_keep)),
        Step("addresses", Act(settle=_end)),
    ),
)
