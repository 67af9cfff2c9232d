"""What is done with guests that should not be, as setting `vm.unknown.domain` says. Shared by follow and evict.

The setting is read once, when the guest was found, and kept: what is asked of drivers follows from that, though
somebody sets it meanwhile. A hypervisor that cannot halt guests has them reported instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.engine.core.draft import Draft
from interlock.engine.core.steps.specs import Addressed, is_able
from interlock.schema.cloud import Host
from interlock.schema.commands import AnyCommand, Capability, QuarantineDomain, StopDomain
from interlock.schema.settings import UNKNOWN_DOMAIN, SettingScope

REPORT, QUARANTINE, END = UNKNOWN_DOMAIN.choices


def treatment(draft: Draft, host_ids: Iterable[str]) -> str:
    """What is done with strays on these hosts: of several ways, the mildest."""
    ways = {_on(draft, host) for each in host_ids if (host := draft.cloud.find(Host, each))}
    return next((way for way in UNKNOWN_DOMAIN.choices if way in ways), REPORT)


def _on(draft: Draft, host: Host) -> str:
    wanted = setting_on(draft, host)
    return REPORT if wanted == QUARANTINE and not is_able(draft, host.driver, Capability.QUARANTINE) else wanted


def setting_on(draft: Draft, host: Host) -> str:
    """What the setting says for a host."""
    where = ((SettingScope.CLUSTER, host.cluster_id), (SettingScope.ZONE, host.zone_id))
    return draft.cloud.setting(UNKNOWN_DOMAIN, *where)


def treatments(way: str, addressed: Addressed) -> tuple[AnyCommand, ...]:
    """What a driver is asked."""
    if way == QUARANTINE:
        return (QuarantineDomain(**addressed),)
    return (StopDomain(**addressed, forced=True),) if way == END else ()
