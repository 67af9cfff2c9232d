"""The ground on which runs play, unless one brings another: a cloud so small that everything is scarce.

Two zones, one advanced with filtered and plain networks, one basic; six hosts in three clusters, shared and local
pools, accounts with limits, affinity groups of all kinds. A few VMs meet every limit.
"""

from __future__ import annotations

from functools import cache

from interlock.embed.cloud import CloudDescription
from interlock.engine.core.snapshot import Policy
from interlock.planners.concentrating import Concentrating
from interlock.planners.dispersing import Dispersing
from interlock.planners.first_fit import FirstFit
from interlock.planners.gurus.direct import DirectGuru
from interlock.planners.gurus.isolated import IsolatedGuru
from interlock.planners.gurus.pod import PodBasedGuru
from interlock.planners.implicit import ImplicitDedication
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.cloud import Place
from interlock.testing.fuzz.universe import Setting

PLANNERS: dict[str, HostPlanner] = {
    "first-fit": FirstFit(),
    "dispersing": Dispersing(),
    "concentrating": Concentrating(),
    "implicit-dedication": ImplicitDedication(),
}
GURUS: dict[str, NetworkGuru] = {"direct": DirectGuru(), "isolated": IsolatedGuru(), "pod": PodBasedGuru()}
POLICY = Policy(placements=3, tries=3, undo_tries=4)
"""Fewer tries than in production: the ends of patience are met within a short run."""
CLOUD = """
[settings]
"vm.unknown.domain" = "end"

[[domains]]
name = "corp"
limits = { vms = 6 }
[[accounts]]
name = "ann"
domain = "corp"
limits = { vms = 3, storage_mib = 40960, public_ips = 2 }
[[accounts]]
name = "ben"
domain = "corp"
limits = { cpu_cores = 6, volumes = 9 }

[[zones]]
name = "a"
security_groups = true
local_storage = true
[[zones.networks]]
name = "net"
cidr = "10.0.0.0/28"
default = true
services = { SecurityGroup = "SecurityGroupProvider" }
[[zones.networks]]
name = "back"
cidr = "10.1.0.0/28"
[[zones.pods]]
name = "a-pod"
[[zones.pods.clusters]]
name = "a1"
cpu_overcommit = 2.0
[[zones.pods.clusters.hosts]]
name = "a1-h"
count = 3
cpu_cores = 3
cpu_mhz = 1000
memory_mib = 3072
[[zones.pods.clusters.pools]]
name = "a1-nfs"
size_mib = 20480
[[zones.pods.clusters.pools]]
name = "a1-san"
size_mib = 12288
[[zones.pods.clusters]]
name = "a2"
[[zones.pods.clusters.hosts]]
name = "a2-h"
count = 2
cpu_cores = 2
cpu_mhz = 1000
memory_mib = 2048
[[zones.pods.clusters.pools]]
name = "a2-nfs"
size_mib = 16384

[[zones]]
name = "b"
kind = "basic"
security_groups = true
[[zones.networks]]
name = "flat"
cidr = "10.2.0.0/24"
services = { SecurityGroup = "SecurityGroupProvider" }
[[zones.networks.ranges]]
name = "flat-range"
pod = "b-pod"
cidr = "10.2.0.0/24"
first_ip = "10.2.0.10"
last_ip = "10.2.0.12"
[[zones.pods]]
name = "b-pod"
[[zones.pods.clusters]]
name = "b1"
[[zones.pods.clusters.hosts]]
name = "b1-h"
count = 2
cpu_cores = 2
cpu_mhz = 1000
memory_mib = 2048
[[zones.pods.clusters.pools]]
name = "b1-nfs"
size_mib = 16384

[[offerings]]
name = "small"
cpu_cores = 1
cpu_mhz = 1000
memory_mib = 1024
[[offerings]]
name = "medium"
cpu_cores = 2
cpu_mhz = 1000
memory_mib = 2048
[[offerings]]
name = "spread"
cpu_cores = 1
cpu_mhz = 500
memory_mib = 512
planner = "dispersing"
[[disk_offerings]]
name = "any"
[[disk_offerings]]
name = "fixed"
size_mib = 2048
[[templates]]
name = "t"
size_mib = 1024
[[templates]]
name = "big"
size_mib = 3072

[[affinity_groups]]
name = "apart"
kind = "host anti-affinity"
[[affinity_groups]]
name = "together"
kind = "host affinity"
[[affinity_groups]]
name = "rather-apart"
kind = "non-strict host anti-affinity"
"""


@cache
def places() -> tuple[Place, ...]:
    """What the cloud above says."""
    return tuple(CloudDescription.parse(CLOUD).places)


def setting() -> Setting:
    """Our own parts on this ground."""
    return Setting(places=places(), planners=PLANNERS, gurus=GURUS, policy=POLICY)
