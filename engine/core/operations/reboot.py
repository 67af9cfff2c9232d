"""reboot: restart the guest of a Running VM in place.

Legal flow: one step; the VM stays Running throughout, as in CloudStack, and nothing changes hands. Nothing is undone
when it fails: the guest was not touched, or has been restarted after all. The operation says which host refused.
"""

from __future__ import annotations

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.specs import host_of, to_guest
from interlock.schema.commands import AnyCommand, RebootDomain


def _reboot(draft: Draft) -> tuple[AnyCommand, ...]:
    return (RebootDomain(**to_guest(draft, host_of(draft))),)


REBOOT = Program("reboot", accepts=("Running",), steps=(Step("reboot", Act(effects=_reboot)),))
