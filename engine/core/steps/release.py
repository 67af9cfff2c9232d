"""release: give back what a stopped guest held on its host.

Forward: NICs Reserved → Releasing → Allocated (they keep their addresses), then Stopping → Stopped and the host's
capacity is free. Undo: the NICs are prepared again, so that `shutdown` can run the guest again.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Step
from interlock.engine.core.steps.specs import prepare_nics, release_nics
from interlock.schema.commands import AnyCommand


def _announce(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Reserved":
            draft.move(nic, "ReleaseRequested")


def _effects(draft: Draft) -> tuple[AnyCommand, ...]:
    return release_nics(draft) if draft.vm.state == "Stopping" else ()


def _settle(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Releasing":
            draft.move(nic, "OperationCompleted")
    if draft.vm.state == "Stopping":
        draft.move(draft.vm, "OperationSucceeded", host_id=None, last_host_id=draft.vm.host_id)


def _prepare_again(draft: Draft) -> tuple[AnyCommand, ...]:
    return prepare_nics(draft, "Releasing") if draft.vm.state == "Stopping" else ()


def _prepared(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Releasing":
            draft.move(nic, "OperationFailed")


RELEASE = Step(
    "release",
    Act(announce=_announce, effects=_effects, settle=_settle),
    undo=Act(effects=_prepare_again, settle=_prepared),
)
