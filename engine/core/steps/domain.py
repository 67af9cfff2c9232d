"""domain: run the guest. Forward: the VM becomes Running. Undo: make sure it does not run there, whatever happened."""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Step
from interlock.engine.core.steps.specs import start_domain, stop_domain
from interlock.schema.commands import AnyCommand


def _running(draft: Draft) -> None:
    draft.move(draft.vm, "OperationSucceeded")


def _stop(draft: Draft) -> tuple[AnyCommand, ...]:
    return stop_domain(draft, forced=True)


DOMAIN = Step("domain", Act(effects=start_domain, settle=_running), undo=Act(effects=_stop))
