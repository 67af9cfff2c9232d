"""follow: see where a VM really is, and have its record say so. Asked for by the engine itself when a report differs.

Legal flow: look → search → forget → release → adopt → leave → stray, of which most do nothing most of the time.
`look` asks the host that the record names, and the one it was seen on; `search`, if it is gone and was not found, all
others of its cluster: a guest that somebody moved is gone from the old host before it is seen on the new one. What they
have found is kept with the operation; the conclusion is drawn from that alone (`core/sightings.py`), and then:

    here      an Unknown VM is Running again (FollowAgentPowerOnReport); of a Running one nothing is written
    stopped   what is left on any host is removed, unless it runs by now, its NICs are released, and it is Stopped
              (FollowAgentPowerOffReport); its capacity is free, disks and addresses stay its own
    moved     its NICs are made ready there and released here, and it is Running there (AgentReportMigrated; an Unknown
              one FollowAgentPowerOnReport); capacity moves in that commit
    lost      a Running VM is Unknown (HostLost), and keeps what it holds: it is never started elsewhere without proof
    strays    guests of it that should not be: done with as setting `vm.unknown.domain` says

Who owns what: the VM's state, `host_id`, `last_host_id`; on a move its `rules_told` (nobody has told that host), and
its NICs. Of a VM that holds no host nothing is ever written: whatever runs of it is a stray.

What unwinding does: nothing was done to the guest, so there is nothing to bring back but the NICs, and what of that a
host refuses is borne: it does not have the guest, and the next look goes on from there. A VM whose new host has no
room, or which its affinity group forbids, stays where the record has it, and is asked for again later.

Races. Each look carries the operation's fence: what was sent by earlier operations and comes late, changes nothing
after it. The operation owns the VM, so no other one can be under way; reports, old or new, never write. Somebody starts
the guest again after it was found off: what is left is only removed if it does not run; the operation fails then, and
the next look finds it. Silence is never taken for absence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from interlock.engine.core.access import is_admin
from interlock.engine.core.draft import Draft
from interlock.engine.core.operations.strays import treatment, treatments
from interlock.engine.core.program import Act, Program, Refusal, Step
from interlock.engine.core.sightings import HOLDING, Conclusion, Kind, Seen, concluded, must_search
from interlock.engine.core.steps.demand import kept_apart
from interlock.engine.core.steps.specs import host_of, prepare_nics, release_nics, to_guest
from interlock.schema import commands
from interlock.schema.cloud import Host
from interlock.schema.commands import AnyCommand, Done, LookForDomain, Refused, StopDomain
from interlock.schema.errors import NotAllowed, NotFound
from interlock.schema.requests import FollowVM


def _admit(draft: Draft, request: FollowVM, caller_id: str | None, ids: Iterator[str]) -> None:
    if not is_admin(draft.cloud, caller_id):
        raise NotAllowed(f"account {caller_id} may not have hosts asked for VM {draft.vm.name}: ask an administrator")
    if request.host is not None and draft.cloud.find(Host, request.host) is None:
        raise NotFound(f"there is no host {request.host!r}; `interlock hosts` lists them")


# What is kept


def _kept(draft: Draft) -> dict[str, Any]:
    """What was kept, be it in this very decision."""
    return {**draft.operation.kept, **draft.noted.get("kept", {})}


def _keep(draft: Draft, **more: Any) -> None:
    """As it is read back, too: JSON's own types, lists for tuples."""
    draft.noted["kept"] = {**_kept(draft), **msgspec.json.decode(msgspec.json.encode(more))}


def _seen(draft: Draft) -> dict[str, Seen]:
    return msgspec.convert(_kept(draft).get("seen", {}), dict[str, Seen])


def conclusion_of(kept: dict[str, Any]) -> Conclusion | None:
    """What an operation has concluded, if it has come so far."""
    return msgspec.convert(kept["conclusion"], Conclusion) if "conclusion" in kept else None


def _is(draft: Draft, kind: Kind) -> bool:
    conclusion = conclusion_of(_kept(draft))
    return conclusion is not None and conclusion.kind is kind


def _recorded(draft: Draft) -> str | None:
    """The host that the VM holds."""
    return draft.vm.host_id if draft.vm.state in HOLDING else None


# Looking


def _first(draft: Draft) -> tuple[AnyCommand, ...]:
    """The host of the record and the one it was seen on; of a VM that holds none, else the one it was on last."""
    seen_on = draft.operation.request.get("host")
    recorded = _recorded(draft)
    hosts = (recorded, seen_on) if recorded or seen_on else (draft.vm.last_host_id,)
    return _looks(draft, tuple(dict.fromkeys(filter(None, hosts))))


def _looks(draft: Draft, hosts: tuple[str, ...]) -> tuple[AnyCommand, ...]:
    return tuple(LookForDomain(**to_guest(draft, host)) for each in hosts if (host := draft.cloud.find(Host, each)))


def _noted(draft: Draft, asked: tuple[AnyCommand, ...]) -> dict[str, Seen]:
    answers = zip(asked, draft.outcomes, strict=True)
    return {**_seen(draft), **{command.at: _said(outcome) for command, outcome in answers}}


def _said(outcome: commands.Outcome) -> Seen:
    if isinstance(outcome, Done) and outcome.found is not None:
        return Seen(outcome.found.power, outcome.found.reason)
    return Seen(None, outcome.reason if isinstance(outcome, Refused) else "it did not say what it has")


def _looked(draft: Draft) -> None:
    """Keep what was found, and whom else to ask.

    Raises:
        Refusal: the host of the record cannot be asked from here; that says nothing about the VM.
    """
    asked, recorded = _first(draft), _recorded(draft)
    for command, outcome in zip(asked, draft.outcomes, strict=True):
        if isinstance(outcome, Refused) and outcome.kind is commands.Refusal.PERMANENT and command.at == recorded:
            raise Refusal(f"host {recorded} cannot be asked for VM {draft.vm.name}: {outcome.reason}")
    seen = _noted(draft, asked)
    _keep(draft, seen=seen, search=_neighbours(draft, seen) if must_search(recorded, seen) else ())


def _neighbours(draft: Draft, seen: dict[str, Seen]) -> tuple[str, ...]:
    """The hosts that a running guest can be moved to: those of the cluster, under the same driver."""
    own = host_of(draft)
    return tuple(
        host.id
        for host in draft.cloud.all(Host)
        if (host.cluster_id, host.driver) == (own.cluster_id, own.driver) and host.id not in seen
    )


def _further(draft: Draft) -> tuple[AnyCommand, ...]:
    return _looks(draft, tuple(_kept(draft).get("search", ())))


def _searched(draft: Draft) -> None:
    """Draw the conclusion, and write what follows from it at once.

    Raises:
        Refusal: nothing can be said that the record does not say already.
    """
    vm, recorded = draft.vm, _recorded(draft)
    seen = _noted(draft, _further(draft)) if draft.outcomes else _seen(draft)
    conclusion = concluded(recorded, seen)
    if conclusion.kind is Kind.LOST and vm.state != "Running":
        raise Refusal(f"nothing is known of VM {vm.name}: {conclusion.cause}")
    _keep(draft, seen=seen, conclusion=conclusion, treatment=treatment(draft, conclusion.strays))
    if conclusion.kind is Kind.LOST:
        draft.move(vm, "HostLost", cause=conclusion.cause)
    elif conclusion.kind is Kind.HERE and vm.state == "Unknown":
        draft.move(vm, "FollowAgentPowerOnReport", cause=conclusion.cause)


# Stopped


def _forget(draft: Draft) -> tuple[AnyCommand, ...]:
    """Remove what is left of the guest where it was, and wherever else it was found off; only that."""
    conclusion = conclusion_of(_kept(draft))
    if conclusion is None or conclusion.kind is Kind.LOST:
        return ()
    gone = (draft.vm.host_id,) if conclusion.kind in (Kind.STOPPED, Kind.MOVED) else ()
    hosts = [draft.cloud.find(Host, each) for each in dict.fromkeys((*gone, *conclusion.remains)) if each]
    return tuple(StopDomain(**to_guest(draft, host), forced=True, unless_up=True) for host in hosts if host)


def _give_up_nics(draft: Draft) -> None:
    for nic in draft.nics if _is(draft, Kind.STOPPED) else ():
        if nic.state == "Reserved":
            draft.move(nic, "ReleaseRequested")


def _release(draft: Draft) -> tuple[AnyCommand, ...]:
    return release_nics(draft) if _is(draft, Kind.STOPPED) else ()


def _stopped(draft: Draft) -> None:
    conclusion, vm = conclusion_of(_kept(draft)), draft.vm
    if conclusion is None or conclusion.kind is not Kind.STOPPED:
        return
    for nic in draft.nics:
        if nic.state == "Releasing":
            draft.move(nic, "OperationCompleted")
    draft.move(vm, "FollowAgentPowerOffReport", cause=conclusion.cause, host_id=None, last_host_id=vm.host_id)


def _prepare_again(draft: Draft) -> tuple[AnyCommand, ...]:
    return prepare_nics(draft, "Releasing") if draft.vm.host_id else ()


def _prepared_again(draft: Draft) -> None:
    for nic in draft.nics:
        if nic.state == "Releasing":
            draft.move(nic, "OperationFailed")


# Moved


def _new_host(draft: Draft) -> Host | None:
    """Where it has moved, until the record says so."""
    conclusion = conclusion_of(_kept(draft))
    if conclusion is None or conclusion.kind is not Kind.MOVED or conclusion.to == draft.vm.host_id:
        return None
    return draft.cloud.find(Host, conclusion.to or "")


def _has_room(draft: Draft) -> None:
    """The record can say what is so.

    Raises:
        Refusal: the books of the new host have no room for it, or its affinity groups forbid it.
    """
    vm, host = draft.vm, _new_host(draft)
    if host is None:
        return
    wrong = _no_room(vm.cpu_held_mhz, vm.memory_held_mib, host) or kept_apart(draft, host.id)
    if wrong:
        raise Refusal(
            f"VM {vm.name} runs on host {host.id}, and cannot be recorded there: {wrong}; make room, or move it back"
        )


def _no_room(cpu_mhz: int, memory_mib: int, host: Host) -> str | None:
    if cpu_mhz > host.cpu_free_mhz:
        return f"it holds {cpu_mhz} MHz CPU, {host.cpu_free_mhz} are free"
    if memory_mib > host.memory_free_mib:
        return f"it holds {memory_mib} MiB memory, {host.memory_free_mib} are free"
    return None


def _prepare_there(draft: Draft) -> tuple[AnyCommand, ...]:
    host = _new_host(draft)
    return prepare_nics(draft, "Reserved", host) if host else ()


def _release_there(draft: Draft) -> tuple[AnyCommand, ...]:
    host = _new_host(draft)
    return release_nics(draft, "Reserved", host) if host else ()


def _release_here(draft: Draft) -> tuple[AnyCommand, ...]:
    return release_nics(draft, "Reserved") if _new_host(draft) else ()


def _prepare_here(draft: Draft) -> tuple[AnyCommand, ...]:
    return prepare_nics(draft, "Reserved") if _new_host(draft) else ()


def _moved(draft: Draft) -> None:
    host, vm, conclusion = _new_host(draft), draft.vm, conclusion_of(_kept(draft))
    if host is None or conclusion is None:
        return
    _has_room(draft)
    event = "AgentReportMigrated" if vm.state == "Running" else "FollowAgentPowerOnReport"
    there = {"host_id": host.id, "last_host_id": vm.host_id, "rules_told": 0}
    draft.move(vm, event, cause=conclusion.cause, **there)


# Strays


def _treat(draft: Draft) -> tuple[AnyCommand, ...]:
    conclusion = conclusion_of(_kept(draft))
    strays = conclusion.strays if conclusion else ()
    hosts = [host for each in strays if (host := draft.cloud.find(Host, each))]
    how = _kept(draft).get("treatment", "report")
    return tuple(command for host in hosts for command in treatments(how, to_guest(draft, host)))


FOLLOW = Program(
    "follow",
    accepts=("Allocated", "Running", "Stopped", "Destroyed", "Expunged", "Error", "Unknown"),
    steps=(
        Step("look", Act(effects=_first, settle=_looked, bears=True)),
        Step("search", Act(effects=_further, settle=_searched, bears=True)),
        # The room is looked for before anything is done, and again before it is taken.
        Step("forget", Act(announce=_has_room, effects=_forget)),
        Step(
            "release",
            Act(announce=_give_up_nics, effects=_release, settle=_stopped),
            undo=Act(effects=_prepare_again, settle=_prepared_again, bears=True),
        ),
        Step("adopt", Act(announce=_has_room, effects=_prepare_there), undo=Act(effects=_release_there, bears=True)),
        Step("leave", Act(effects=_release_here, settle=_moved), undo=Act(effects=_prepare_here, bears=True)),
        Step("stray", Act(effects=_treat)),
    ),
    admit=_admit,
)
