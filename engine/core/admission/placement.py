"""Placement: what a request says about where its VM is to run, and by which planner.

Only administrators choose a place or an overcommit ratio. Whether the chosen place has room, and is not another's, is
the planner's to say. Bounds of the ratios are in the request's type.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.engine.core.access import is_admin
from interlock.engine.core.admission.lookup import existing, listed
from interlock.engine.core.admission.owner import owner_must_be_enabled
from interlock.engine.core.draft import Draft
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Cluster, Host, Offering, Pod, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import DeployVM, StartVM
from interlock.schema.settings import PLANNER, SettingScope

PLACES = ("pod", "cluster", "host")
RATIOS = ("cpu_overcommit", "memory_overcommit")


def only_admins_may_choose(cloud: Cloud, request: DeployVM | StartVM, caller_id: str | None) -> None:
    """A place, or an overcommit ratio, is said by administrators only."""
    said = [name for name in (*PLACES, *RATIOS) if getattr(request, name, None) is not None]
    if said and not is_admin(cloud, caller_id):
        raise NotAllowed(
            f"{' and '.join(said)} may be chosen by administrators only, and account {caller_id} is none; leave it out"
        )


def choice_must_lie_in(cloud: Cloud, request: DeployVM | StartVM, zone_id: str) -> None:
    """The pod, cluster and host that are named exist, and lie in the zone and in each other."""
    chosen = _chosen(cloud, request)
    for place in chosen:
        place_must_lie_in(place, "zone", zone_id)
    for place in chosen:
        if request.pod is not None and isinstance(place, Cluster | Host):
            place_must_lie_in(place, "pod", request.pod)
        if request.cluster is not None and isinstance(place, Host):
            place_must_lie_in(place, "cluster", request.cluster)


def _chosen(cloud: Cloud, request: DeployVM | StartVM) -> list[Pod | Cluster | Host]:
    found: list[Pod | Cluster | Host] = []
    if request.pod is not None:
        found.append(existing(cloud, Pod, request.pod))
    if request.cluster is not None:
        found.append(existing(cloud, Cluster, request.cluster))
    if request.host is not None:
        found.append(existing(cloud, Host, request.host))
    return found


def place_must_lie_in(place: Pod | Cluster | Host, outer: str, outer_id: str) -> None:
    """One place lies in another: in a zone, pod or cluster."""
    actual = getattr(place, f"{outer}_id")
    if actual != outer_id:
        what = type(place).__name__.lower()
        raise InvalidRequest(f"{what} {place.id} is in {outer} {actual}, not {outer_id}; choose one of the two")


def planner_of(draft: Draft, asked: str | None, offering: Offering, zone: Zone) -> str:
    """The planner is the request's, else the offering's, else the setting's; and is installed."""
    planner = asked or offering.planner or draft.cloud.setting(PLANNER, (SettingScope.ZONE, zone.id))
    if planner not in draft.rules.planners:
        raise NotFound(f"there is no planner {planner!r}; there are: {listed(sorted(draft.rules.planners))}")
    return planner


def admit_start(draft: Draft, request: StartVM, caller_id: str | None, ids: Iterator[str]) -> None:
    """What a start must meet besides the VM's state: its owner is enabled, and a chosen place may be chosen.

    Raises:
        InvalidRequest: a rule refuses.
    """
    owner_must_be_enabled(existing(draft.cloud, Account, draft.vm.account_id))
    only_admins_may_choose(draft.cloud, request, caller_id)
    choice_must_lie_in(draft.cloud, request, draft.vm.zone_id)
