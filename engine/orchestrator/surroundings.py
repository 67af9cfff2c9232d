"""What stands around a host, and what follows from that alone: whether it is disabled, and for whom it is dedicated.

Worked out once for each host when the cloud is loaded: planners ask it of every host that they look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interlock.schema.cloud import Cluster, Host, Pod, Zone

Place = Host | Cluster | Pod | Zone


class Surroundings:
    """Of all hosts, as they are described.

    Args:
        places: all places, by kind and id.
    """

    def __init__(self, places: Mapping[str, Mapping[str, Any]]) -> None:
        self._places = places
        hosts: Iterable[Host] = places["host"].values()
        self.disabled = {host.id: self._why_disabled(host) for host in hosts}
        """By host: which of it and what it stands in is disabled, in words; None: nothing."""
        self.dedicated = {host.id: [each for each in self.of(host) if _is_dedicated(each[1])] for host in hosts}
        """By host: what of it and what it stands in is dedicated, each with its kind."""

    def of(self, host: Host) -> tuple[tuple[str, Place], ...]:
        """The host and what it stands in, each with its kind."""
        return (
            ("host", host),
            ("cluster", self._places["cluster"][host.cluster_id]),
            ("pod", self._places["pod"][host.pod_id]),
            ("zone", self._places["zone"][host.zone_id]),
        )

    def _why_disabled(self, host: Host) -> str | None:
        return next((f"{kind} {place.id} is disabled" for kind, place in self.of(host) if not place.enabled), None)


def _is_dedicated(place: Place) -> bool:
    return place.dedicated_account_id is not None or place.dedicated_domain_id is not None
