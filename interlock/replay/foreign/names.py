"""The names of CloudStack's machines, apart from their tables: a command line lists them without loading any."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = tuple(
    f"cloudstack-{each}"
    for each in (
        *("vm", "volume", "nic", "network", "host", "resource", "object", "snapshot", "vm-snapshot", "template"),
        *("zone", "ha", "power"),
    )
)
"""In the order of the file."""
OURS: Mapping[str, str] = {"cloudstack-vm": "vm", "cloudstack-volume": "volume", "cloudstack-nic": "nic"}
"""Which machine of ours has the same subject. Hosts, networks and the others have none."""
