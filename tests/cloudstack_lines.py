"""Writes CloudStack's log lines, as each release prints them: what tests read back.

Written from the reference's format strings, not from our patterns: a pattern that reads something else is found out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

BEGIN = datetime(2025, 3, 1, 12, 0, 0)


@dataclass(frozen=True)
class Guest:
    """A VM of CloudStack's."""

    id: int = 6
    type: str = "User"

    @property
    def name(self) -> str:
        """Its instance name."""
        return {"User": f"i-2-{self.id}-VM", "DomainRouter": f"r-{self.id}-VM"}[self.type]

    @property
    def uuid(self) -> str:
        """Its uuid."""
        return f"2b7a768a-3bc2-4c3c-ae05-{self.id:012}"


@dataclass(frozen=True)
class Node:
    """A host of CloudStack's."""

    id: int = 2

    @property
    def name(self) -> str:
        """Its name, with what may not lead a reader astray."""
        return f"kvm{self.id}, rack 1; [a]"


def as_json(**fields: object) -> str:
    """Without blanks, as CloudStack prints it."""
    return json.dumps(fields, separators=(",", ":"))


VMS: Mapping[str, Callable[[Guest, str], str]] = {
    "until 4.15": lambda vm, _: f"VM[{vm.type}|{vm.name}]",
    "4.16": lambda vm, _: f'VM instance {{id: "{vm.id}", name: "{vm.name}", uuid: "{vm.uuid}", type="{vm.type}"}}',
    "4.18": lambda vm, _: "VM instance " + as_json(id=vm.id, instanceName=vm.name, type=vm.type, uuid=vm.uuid),
    "4.20.1": lambda vm, state: (
        "VM instance " + as_json(id=vm.id, instanceName=vm.name, state=state, type=vm.type, uuid=vm.uuid)
    ),
}
"""How a VM is printed."""


def host_json(host: Node | None) -> str:
    """How a host is printed since 4.16."""
    if host is None:
        return "null"
    return "Host " + as_json(id=host.id, name=host.name, type="Routing", uuid=f"cefc9df8-c2f6-4388-823d-{host.id:012}")


def host_id(host: Node | None) -> str:
    """How a host is printed before."""
    return str(host.id) if host else "null"


Step = tuple[str, str, str]


def vm_new(vm: Guest, step: Step, hosts: tuple[Node | None, Node | None, Node | None], era: str = "4.18") -> str:
    """The message of a VM's transition since 4.16; hosts: original, new, before."""
    source, event, destination = step
    last, new, old = map(host_json, hosts)
    return (
        f"{VMS[era](vm, destination)} state transited from [{source}] to [{destination}] with event [{event}]. "
        f"VM's original host: {last}, new host: {new}, host before state transition: {old}"
    )


def vm_old(step: Step, hosts: tuple[Node | None, Node | None, Node | None], third: bool = True) -> str:
    """The message until 4.15, which names no VM; very old builds have no third part."""
    source, event, destination = step
    last, new, old = map(host_id, hosts)
    more = f" host id before state transition: {old}" if third else ""
    return (
        f"VM state transitted from :{source} to {destination} with event: {event}"
        f"vm's original host id: {last} new host id: {new}{more}"
    )


def stamp(seconds: float) -> str:
    """A time as log4j writes it."""
    return (BEGIN + timedelta(seconds=seconds)).isoformat(sep=" ", timespec="milliseconds").replace(".", ",")


def log4j2(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line of 4.20 or newer."""
    context = f"ctx-6a3ae7c2, job-7/job-{job}, ctx-5442e019" if job else ""
    thread = f"Work-Job-Executor-151:[{context}]" if job else "AgentManager-Handler-20:[]"
    logid = "9f8e7d6c" if job else ""
    return f"{stamp(seconds)} {level:<5} [c.c.c.CapacityManagerImpl] ({thread}) (logid:{logid}) {message}"


def log4j1(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line of 4.3 to 4.19."""
    thread = f"Work-Job-Executor-1:ctx-1a2b3c4d job-7/job-{job} ctx-0f0f0f0f" if job else "AgentManager-Handler-7:null"
    logid = "0a1b2c3d" if job else ""
    return f"{stamp(seconds)} {level:<5} [c.c.c.CapacityManagerImpl] ({thread}) (logid:{logid}) {message}"


def oldest(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line of 4.2 or older."""
    thread = (
        f"Job-Executor-7:job-{job} = [ bf596afe-55ed-45ce-b6dd-8da5ff1d2c78 ]" if job else "AgentManager-Handler-7:null"
    )
    return f"{stamp(seconds)} {level:<5} [cloud.capacity.CapacityManagerImpl] ({thread}) {message}"


def syslog(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line behind a syslog header."""
    return "<134>Mar  1 12:00:00 ms1 java[7]: " + log4j2(message, seconds, job, level)


def from_server(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line behind the name of its server."""
    return "srv-02.example " + log4j1(message, seconds, job, level)


def rsyslog(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line behind the header that newer rsyslogs write."""
    return "2025-03-01T12:00:00.123456+01:00 ms1 java[7]: " + log4j2(message, seconds, job, level)


def indented(message: str, seconds: float = 0, job: int | None = 8, level: str = "DEBUG") -> str:
    """A line as people paste it into a report."""
    return "    " + log4j1(message, seconds, job, level)


LAYOUTS = {each.__name__: each for each in (log4j2, log4j1, oldest, syslog, rsyslog, from_server, indented)}

HOST_LINES: Mapping[str, tuple[str, Callable[[Node, Step], str]]] = {
    "agent-status": (
        "cloudstack-host",
        lambda host, step: (
            f"Agent status update: [id = {host.id}; name = {host.name}; old status = {step[0]}; event = {step[1]}; "
            f"new status = {step[2]}; old update count = 41; new update count = 42]"
        ),
    ),
    "resource-state": (
        "cloudstack-resource",
        lambda host, step: (
            f"Resource state update: [id = {host.id}; name = {host.name}; old state = {step[0]}; event = {step[1]}; "
            f"new state = {step[2]}]"
        ),
    ),
    "host-ha": (
        "cloudstack-ha",
        lambda host, step: (
            f"Transitioned host HA state from: {step[0]} to: {step[2]} due to event:{step[1]} "
            f"for the host {host_json(host)} with id: {host.id}"
        ),
    ),
    "host-ha-old": (
        "cloudstack-ha",
        lambda host, step: (
            f"Transitioned host HA state from:{step[0]} to:{step[2]} due to event:{step[1]} for the host id:{host.id}"
        ),
    ),
    "oobm-power": (
        "cloudstack-power",
        lambda host, step: (
            f"Transitioned out-of-band management power state from {step[0]} to {step[2]} due to event: {step[1]} "
            f"for {host_json(host)}"
        ),
    ),
    "oobm-power-old": (
        "cloudstack-power",
        lambda host, step: (
            f"Transitioned out-of-band management power state from:{step[0]} to:{step[2]} due to event:{step[1]} "
            f"for the host id:{host.id}"
        ),
    ),
}
"""By format: whose transition, and its message."""

_VM, _HOST = Guest(), Node()
_V18, _HJ = VMS["4.18"](_VM, ""), host_json(_HOST)
_TRACE = "com.cloud.utils.fsm.NoTransitionException: Unable to transition to a new state from"

OTHERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "VM write lost": (
        f"Unable to update {VMS['until 4.15'](_VM, '')}: DB Data={{Host=3; State=Running; updated=14; time=Tue Mar 01 "
        "12:00:00 UTC 2025} New Data: {Host=2; State=Starting; updated=14; time=Tue Mar 01 12:00:00 UTC 2025} "
        "Stale Data: {Host=null; State=Stopped; updated=13; time=Tue Mar 01 11:00:00 UTC 2025}",
        {"format": "vm-write-lost", "who": "vm 6", "source": "Stopped", "destination": "Starting", "found": "Running"},
    ),
    "VM write lost, 2.1": (
        f"Unable to update {_V18}: DB Data={{Host=3; State=Running; updated=14}} New Data: {{Host=null; State=Stopped; "
        "updated=15} Stale Data: {Host=3; State=Running; updated=13}",
        {"format": "vm-write-lost", "who": "vm 6", "source": "Running", "found_host": "3", "new_host": "null"},
    ),
    "agent status lost": (
        "Unable to update host for event:PingTimeout. Name=kvm2; New=[status=Alert:msid=null:lastpinged=1700000001]; "
        "Old=[status=Up:msid=77:lastpinged=1700000000]; DB=[status=Down:msid=null:lastpinged=1:old update count=5]",
        {"format": "agent-status-lost", "who": "host kvm2", "source": "Up", "destination": "Alert", "found": "Down"},
    ),
    "agent status lost, 2.1": (
        "Unable to update host for event:Ping. New=[status=Up:msid=77:lastpinged=17]; "
        "Old=[status=Up:msid=77:lastpinged=16]; DB=[status=Down:msid=78:lastpinged=15]",
        {"format": "agent-status-lost", "event": "Ping", "found": "Down"},
    ),
    "agent event, misprinted": (
        "[Resource state = Enabled, Agent event = , Host = AgentConnected]",
        {"format": "agent-event-misprinted", "event": "AgentConnected", "resource_state": "Enabled"},
    ),
    "agent event": (
        f"[Resource state = Enabled, Agent event = AgentConnected, Host = {_HJ}]",
        {"format": "agent-event", "event": "AgentConnected", "who": "host 2"},
    ),
    "agent event, old": (
        "Transition:[Resource state = Maintenance, Agent event = ShutdownRequested, Host id = 2, name = kvm2]",
        {"format": "agent-event-old", "event": "ShutdownRequested", "who": "host 2", "resource_state": "Maintenance"},
    ),
    "agent refused": (
        f"Cannot transit agent status with event Ready for host {_HJ}, management server id is 77",
        {"format": "agent-refused", "event": "Ready", "who": "host 2"},
    ),
    "agent refused, old": (
        "Cannot transit agent status with event Ready for host 2, name=kvm2, mangement server id is 77",
        {"format": "agent-refused", "event": "Ready", "who": "host 2", "name": "kvm2"},
    ),
    "resource state lost": (
        "Unable to update resource state: [m = 2; name = kvm2; old state = Enabled; event = Disable; "
        "new state = Disabled]",
        {"format": "resource-state-lost", "who": "host 2", "event": "Disable"},
    ),
    "HA listener": (
        "HA state post-transition:: new state=[Suspect], old state=[Available], for resource id=[2], status=[true], "
        "ha config state=[Suspect].",
        {"format": "host-ha-listener", "who": "host 2", "source": "Available", "destination": "Suspect"},
    ),
    "HA refused": (
        f"Unable to find next HA state for current HA state=[Checking] for event=[HealthCheckFailed] for host {_HJ} "
        f"with id 2. {_TRACE} Checking via HealthCheckFailed",
        {"format": "host-ha-refused", "who": "host 2", "source": "Checking", "event": "HealthCheckFailed"},
    ),
    "HA refused, old": (
        "Unable to find next HA state for current HA state=[Checking] for event=[HealthCheckFailed] for host=[2].",
        {"format": "host-ha-refused", "who": "host 2", "source": "Checking"},
    ),
    "power lost": (
        "Failed to update out-of-band management power state from:On to:Off due to event:Off for the host id:2",
        {"format": "oobm-power-lost", "who": "host 2", "destination": "Off"},
    ),
    "power report": (
        f"VM state report is updated. {_HJ}, {VMS['4.20.1'](_VM, 'Running')}, power state: PowerOn",
        {"format": "power-report", "who": "vm 6", "power": "PowerOn"},
    ),
    "power report, old": (
        "VM state report is updated. host: 2, vm id: 6, power state: PowerReportMissing",
        {"format": "power-report-old", "who": "vm 6", "at_host": "2", "power": "PowerReportMissing"},
    ),
    "power report, with braces too many": (
        "VM state report is updated. host: 2, vm id: 6}, power state: PowerOff}",
        {"format": "power-report-old", "who": "vm 6", "power": "PowerOff"},
    ),
    "power sync": (
        "VM i-2-6-VM is at Running and we received a power-off report while there is no pending jobs on it",
        {"format": "power-sync", "who": "vm 6", "state": "Running", "power": "power-off"},
    ),
    "power sync, by its report": (
        f"VM {_V18} is at Stopping and we received a PowerOff report while there is no pending jobs on it.",
        {"format": "power-sync", "who": "vm 6", "power": "PowerOff"},
    ),
    "power synced": (
        "VM i-2-6-VM is sync-ed to at Stopped state according to power-off report from hypervisor.",
        {"format": "power-synced", "who": "vm 6", "state": "Stopped"},
    ),
    "postponed": (
        f"There is pending job or HA tasks working on the VM. vm: {_V18}, postpone power-change report by resetting "
        "power-change counters.",
        {"format": "power-postponed", "who": "vm 6"},
    ),
    "postponed, old": (
        "There is pending job or HA tasks working on the VM. vm id: 6, postpone power-change report by resetting "
        "power-change counters",
        {"format": "power-postponed", "who": "vm 6"},
    ),
    "out-of-band migration": (
        f"Detected out of band VM migration from host {_HJ} to host {host_json(Node(3))}",
        {"format": "out-of-band-migration", "old_host": _HJ},
    ),
    "job queued": ("Sync job-8 execution on object VmWorkJobQueue.6", {"format": "job-queued", "number": "6"}),
    "job begun": (
        'Executing AsyncJob {"accountId":2,"cmd":"com.cloud.vm.VmWorkStart","id":8,"instanceType":null}',
        {"format": "job-begun"},
    ),
    "job begun, old": (
        "Executing AsyncJobVO: {id:8, userId: 2, accountId: 2, cmd: com.cloud.vm.VmWorkStart}",
        {"format": "job-begun"},
    ),
    "job ended": (
        'Complete async job-8, jobStatus: FAILED, resultCode: 530, result: org.apache.X/null/{"errorcode":530}',
        {"format": "job-ended", "job": "8", "status": "FAILED", "code": "530"},
    ),
    "job ended, 4.2": (
        "Complete async job-8 = [ bf596afe ], jobStatus: 2, resultCode: 530, result: Error Code: 530",
        {"format": "job-ended", "job": "8", "status": "2"},
    ),
    "capacity released": (
        "release cpu from host: 14, old used: 28500,reserved: 0, actual total: 64000, total with overprovisioning: "
        "1280000; new used: 16500,reserved:0; movedfromreserved: false,moveToReserveredfalse",
        {"format": "capacity-released", "what": "cpu", "at_host": "14", "old_used": "28500", "new_used": "16500"},
    ),
    "memory released": (
        "release mem from host: 14, old used: 137707388928,reserved: 0, total: 10994923339776; new used: "
        "68987912192,reserved:0; movedfromreserved: false,moveToReserveredfalse",
        {"format": "capacity-released", "what": "mem", "new_used": "68987912192"},
    ),
    "memory released, 4.20": (
        f"release mem from host: {_HJ}, old used: (64,00 GB) 68719476736, reserved: (0 bytes) 0, total: (128,00 GB) "
        "137438953472; new used: (62,00 GB) 66571993088, reserved: (0 bytes) 0; movedfromreserved: true, "
        "moveToReservered: false",
        {"format": "capacity-released", "new_used": "(62,00 GB) 66571993088", "from_reserved": "true"},
    ),
    "CPU released, 2.2": (
        "release cpu from host: 3, old used: 500,reserved: 0, total: 9000; new used: 0,reserved:500,total: 9000; "
        "movedfromreserved: false,moveToReserveredtrue",
        {"format": "capacity-released", "at_host": "3", "new_reserved": "500", "to_reserved": "true"},
    ),
    "CPU allocated": (
        "CPU STATS after allocation: for host: 12, old used: 216000, old reserved: 0, actual total: 128000, total with "
        "overprovisioning: 2560000; new used:220000, reserved:0; requested cpu:4000,alloc_from_last:false",
        {"format": "capacity-allocated", "what": "CPU", "new_used": "220000", "requested": "4000"},
    ),
    "CPU allocated, 4.20": (
        f"CPU STATS after allocation: for host: {_HJ}, old used: 500, old reserved: 0, actual total: 9000, total with "
        "overprovisioning: 18000; new used: 1000, reserved: 0; requested cpu: 500, alloc_from_last: true",
        {"format": "capacity-allocated", "what": "CPU", "new_used": "1000", "from_last": "true"},
    ),
    "memory allocated": (
        "RAM STATS after allocation: for host: 12, old used: 345744867328, old reserved: 0, total: 10994923339776; new "
        "used: 354334801920, reserved: 0; requested mem: 8589934592,alloc_from_last:false",
        {"format": "capacity-allocated", "what": "RAM", "requested": "8589934592"},
    ),
    "CPU allocated, 2.2": (
        "alloc cpu from host: 5, old used: 0, old reserved: 0, old total: 9000; new used:500, reserved:0, total: 9000; "
        "requested cpu:500,alloc_from_last:false",
        {"format": "capacity-allocated", "thing": "cpu", "at_host": "5", "new_used": "500"},
    ),
    "volume refused": (
        f"Failed to transit volume: 31, due to: {_TRACE} Ready via CopyRequested",
        {"format": "volume-refused", "who": "volume 31", "source": "Ready", "event": "CopyRequested"},
    ),
    "volume refused, without saying": (
        "Failed to transit volume: 31, due to: java.lang.NullPointerException",
        {"format": "volume-refused", "who": "volume 31", "why": "java.lang.NullPointerException"},
    ),
    "NIC released": (
        'The nic Nic {"id":9,"instanceId":6} was released according to NicProfile {"id":9} by guru '
        "ExternalGuestNetworkGuru, now updating record.",
        {"format": "nic-released", "guru": "ExternalGuestNetworkGuru"},
    ),
    "Kubernetes refused": (
        "Failed to transition state of the Kubernetes cluster : k8s-1 in state Running on event StartRequested",
        {"format": "kubernetes-refused", "who": "cluster k8s-1", "source": "Running"},
    ),
    "Kubernetes refused, 4.20": (
        'Failed to transition state of the Kubernetes cluster: KubernetesCluster {"id":4,"name":"k8s-1"} in state '
        f"Running on event StartRequested {_TRACE} Running via StartRequested",
        {"format": "kubernetes-refused", "who": "cluster 4", "event": "StartRequested"},
    ),
    "refused": (
        f"Unexpected VM state transition exception, race-condition? {_TRACE} Expunging via StartRequested",
        {"format": "refused", "source": "Expunging", "event": "StartRequested"},
    ),
}
"""Messages that are no transition: what they say, the format that must read them, and `who` they are about."""
