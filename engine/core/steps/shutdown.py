"""shutdown: stop the guest of a VM that runs; of one that does not, nothing.

Forward: Running → Stopping, the domain is stopped (forced: without asking the guest) and removed from its host; the
VM keeps its capacity until `release`. Undo: the same domain is run again, Stopping → Running. A guest that refused
to stop is thereby simply left running: starting a domain that runs is Done.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Step
from interlock.engine.core.steps.specs import start_domain, stop_domain
from interlock.schema.commands import AnyCommand


def _announce(draft: Draft) -> None:
    if draft.vm.state in ("Running", "Unknown"):
        draft.move(draft.vm, "StopRequested")


def _stop(draft: Draft) -> tuple[AnyCommand, ...]:
    if draft.vm.state != "Stopping":
        return ()
    return stop_domain(draft, forced=bool(draft.operation.request.get("forced")))


def _start_again(draft: Draft) -> tuple[AnyCommand, ...]:
    return start_domain(draft) if draft.vm.state == "Stopping" else ()


def _running(draft: Draft) -> None:
    if draft.vm.state == "Stopping":
        draft.move(draft.vm, "OperationFailed")


SHUTDOWN = Step("shutdown", Act(announce=_announce, effects=_stop), undo=Act(effects=_start_again, settle=_running))
