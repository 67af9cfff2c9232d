"""secure: tell the host of a Running VM the present rules of its security groups.

Legal flow: one step; the VM stays Running. It takes RulesRequested when it is asked, RulesTold with `rules_told` when
the host has them. Failing leaves `rules_told` as it was; nothing is undone, for the host has the old rules or, at
worst, newer ones than the record says, and whoever sees to it that all are told asks again.
Owned: the VM's `rules_told`, and the operation's `made`, which notes the version that was announced.

Races: what a record says was told must surely have been told.
- Rules change between announcing and settling: the version that was announced counts, not the one known then.
- The effect is repeated under its token, perhaps by a worker that took over, and a driver may answer for the first
  performance: the first announcement counts. Nobody repeats it with older rules: a worker that knows only older ones
  reads them again (`Cloud.groups`).
- The VM was stopped and started between being looked at and the request's commit: the request moves the VM, so it is
  refused as stale, and admitted anew. From then on the operation owns the VM.
- The effect of an earlier operation comes late: its fence is lower, and the driver refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.draft import Draft
from interlock.engine.core.program import Act, Program, Step
from interlock.engine.core.steps.specs import host_of, rules_of, to_guest, unable_host, version_of_rules
from interlock.schema.commands import AnyCommand, ApplyRules, Capability
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import SecureVM


def _admit(draft: Draft, request: SecureVM, caller_id: str | None, ids: Iterator[str]) -> None:
    _is_in_a_group(draft)
    _host_can_filter(draft)
    draft.move(draft.vm, "RulesRequested")


def _is_in_a_group(draft: Draft) -> None:
    """There are rules to tell."""
    if not draft.vm.security_groups:
        raise InvalidRequest(f"VM {draft.vm.name} is in no security group; nothing is filtered")


def _host_can_filter(draft: Draft) -> None:
    """The hypervisor of its host knows security groups."""
    if host := unable_host(draft, Capability.SECURITY_GROUPS):
        raise InvalidRequest(
            f"VM {draft.vm.name} runs on host {host.id}, whose hypervisor has no security groups; "
            "start it on one that has"
        )


def _announce(draft: Draft) -> None:
    draft.noted["made"] = (str(version_of_rules(draft)),)


def _announced(draft: Draft) -> int:
    """The version that was noted, be it in this very decision."""
    [version] = draft.noted.get("made", draft.operation.made)
    return int(version)


def _tell(draft: Draft) -> tuple[AnyCommand, ...]:
    host = host_of(draft)
    rules = rules_of(draft, _announced(draft)) or ()
    return (ApplyRules(**to_guest(draft, host), rules=rules),)


def _told(draft: Draft) -> None:
    # Never back: the host had what it was told before.
    draft.move(draft.vm, "RulesTold", rules_told=max(draft.vm.rules_told, _announced(draft)))


SECURE = Program(
    "secure",
    accepts=("Running",),
    steps=(Step("rules", Act(announce=_announce, effects=_tell, settle=_told)),),
    admit=_admit,
)
