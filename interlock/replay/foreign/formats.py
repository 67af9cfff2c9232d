"""The table of formats: every line of CloudStack's management server that is about a state.

Sources: "CloudStack's log formats" as read from upstream main, commit 3d6cafe1936e of 2025-10-30, and older versions of
the same classes. Messages are matched, never loggers: an abbreviated logger's name differs between releases. Behind a
message an exception's text may stand on the same line, so few patterns end in `$`.
"""

from __future__ import annotations

from interlock.replay.foreign.format import Format, Kind

VM, HOST, RESOURCE, HA, POWER, VOLUME = (
    f"cloudstack-{each}" for each in ("vm", "host", "resource", "ha", "power", "volume")
)
REFUSAL = r"Unable to transition to a new state from (?P<source>\w+) via (?P<event>\w+)"
_DATA = r"{{Host={0}; State={1}; updated=\w+(?:; time=[^}}]*)?}}"
_PINGED = r"\[status={0}:msid=\w+:lastpinged=\w+{1}\]"
_RESOURCE = r"old state = (?P<source>\w+); event = (?P<event>\w+); new state = (?P<destination>\w+)\]"  # in two lines
_HA_STATES = (
    r"Transitioned host HA state from: ?(?P<source>\w+) to: ?(?P<destination>\w+) due to event: ?(?P<event>\w+)"
)
_OLD_VM = (
    r"VM state transitted from :(?P<source>\w+) to (?P<destination>\w+) with event: (?P<event>\w+?)"
    r"vm's original host id: (?P<last_host>\d+|null) new host id: (?P<new_host>\d+|null)"
)
_OLD_POWER = (
    r"power state from: ?(?P<source>\w+) to: ?(?P<destination>\w+) due to event: ?(?P<event>\w+) for the host id:"
)
# Sizes may hold a comma (`(64,00 GB) 68719476736`), so they are cut by what follows, and by a length: a message that
# only begins like one must not be tried in every way.
_USED = (
    r", old used: (?P<old_used>.{1,60}?), ?(?:old )?reserved: ?(?P<old_reserved>.{1,60}?), "
    r"?(?:actual |old )?total: ?(?P<total>.{1,60}?)"
)
_OVER = r"(?:, ?total with overprovisioning: (?P<overprovisioned>.{1,60}?))?"
_NEW_USED = (
    r"; ?new used: ?(?P<new_used>.{1,60}?), ?reserved: ?(?P<new_reserved>.{1,60}?)(?:, ?total: ?[^;]{1,60}?)?; ?"  # old
)

FORMATS: tuple[Format, ...] = (
    # --- VMs
    Format(
        "vm-transition",
        Kind.TRANSITION,
        r"(?P<vm>.+?) state transited from \[(?P<source>\w+)\] to \[(?P<destination>\w+)\] "
        r"with event \[(?P<event>\w+)\]\."
        r" VM's original host: (?P<last_host>.+?), new host: (?P<new_host>.+?),"
        r" host before state transition: (?P<old_host>.+)",
        holds=" state transited from [",
        machine=VM,
        printed_by="CapacityManagerImpl",
        since="4.16",
    ),
    Format(
        "vm-transition-old",
        Kind.TRANSITION,
        _OLD_VM + r" host id before state transition: (?P<old_host>\d+|null)",
        begins=("VM state transitted from :",),
        machine=VM,
        printed_by="CapacityManagerImpl",
        since="2.2",
        until="4.15",
    ),
    Format(
        "vm-transition-oldest",
        Kind.TRANSITION,
        _OLD_VM + r"(?! host id before)",
        begins=("VM state transitted from :",),
        machine=VM,
        printed_by="VMStateListener, VirtualMachineManagerImpl, CapacityManagerImpl",
        since="2.2",
        until="2.2",
    ),
    Format(
        "vm-write-lost",
        Kind.LOST,
        r"Unable to update (?P<vm>.+?): DB Data="
        + _DATA.format(r"(?P<found_host>\w+)", r"(?P<found>\w+)")
        + r" New Data: "
        + _DATA.format(r"(?P<new_host>\w+)", r"(?P<destination>\w+)")
        + r" Stale Data: "
        + _DATA.format(r"(?P<old_host>\w+)", r"(?P<source>\w+)"),
        begins=("Unable to update ",),
        machine=VM,
        printed_by="VMInstanceDaoImpl",
        since="2.1",
    ),
    # --- agents and hosts
    Format(
        "agent-status",
        Kind.TRANSITION,
        r"Agent status update: \[id = (?P<id>\w+); name = (?P<name>.*?); old status = (?P<source>\w+); "
        r"event = (?P<event>\w+); new status = (?P<destination>\w+)"
        r"(?:; old update count = (?P<old_count>\d+); new update count = (?P<new_count>\d+))?\]",
        begins=("Agent status update: [",),
        machine=HOST,
        printed_by="HostDaoImpl",
        since="2.2",
    ),
    Format(
        "agent-status-lost",
        Kind.LOST,
        r"Unable to update host for event:(?P<event>\w+)\.(?: Name=(?P<name>.*?);)? New="
        + _PINGED.format(r"(?P<destination>\w+)", "")
        + "; Old="
        + _PINGED.format(r"(?P<source>\w+)", "")
        + "; DB="
        + _PINGED.format(r"(?P<found>\w+)", r"(?::old update count=\d+)?"),
        begins=("Unable to update host for event:",),
        machine=HOST,
        printed_by="HostDaoImpl",
        since="2.1",
    ),
    Format(
        "agent-event-misprinted",  # one placeholder is missing: the event stands in the host's place
        Kind.ASKED,
        r"\[Resource state = (?P<resource_state>\w+), Agent event = , Host = (?P<event>\w+)\]",
        begins=("[Resource state = ",),
        machine=HOST,
        printed_by="AgentManagerImpl",
        since="4.20",
    ),
    Format(
        "agent-event",
        Kind.ASKED,
        r"\[Resource state = (?P<resource_state>\w+), Agent event = (?P<event>\w+), Host = (?P<host>.+)\]",
        begins=("[Resource state = ",),
        machine=HOST,
        printed_by="AgentManagerImpl, should the placeholder come back",
        since="4.20",
    ),
    Format(
        "agent-event-old",
        Kind.ASKED,
        r"Transition:\[Resource state = (?P<resource_state>\w+), Agent event = (?P<event>\w+), "
        r"Host id = (?P<id>\d+), name = (?P<name>.*)\]",
        begins=("Transition:[Resource state = ",),
        machine=HOST,
        printed_by="AgentManagerImpl",
        since="3.0",
        until="4.19",
    ),
    Format(
        "agent-refused",
        Kind.REFUSED,
        r"Cannot transit agent status with event (?P<event>\w+) for host "
        r"(?:(?P<id>\d+)(?:, name=(?P<name>.*?))?|(?P<host>.+?)), man?a?gement server id is (?P<server>\w+)",
        holds="Cannot transit agent status with event ",
        machine=HOST,
        printed_by="AgentManagerImpl",
        since="3.0",
    ),
    Format(
        "resource-state",
        Kind.TRANSITION,
        r"Resource state update: \[id = (?P<id>\d+); name = (?P<name>.*?); " + _RESOURCE,
        begins=("Resource state update: [",),
        machine=RESOURCE,
        printed_by="HostDaoImpl",
        since="3.0",
    ),
    Format(
        "resource-state-lost",
        Kind.LOST,
        r"Unable to update resource state: \[\w+ = (?P<id>\d+); name = (?P<name>.*?); " + _RESOURCE,
        begins=("Unable to update resource state: [",),
        machine=RESOURCE,
        printed_by="HostDaoImpl",
        since="3.0",
    ),
    Format(
        "host-ha",
        Kind.TRANSITION,
        _HA_STATES + r" for the host (?P<host>.+?) with id: ?(?P<id>\d+)",
        begins=("Transitioned host HA state from:",),
        machine=HA,
        printed_by="HAManagerImpl",
        since="4.20",
    ),
    Format(
        "host-ha-old",
        Kind.TRANSITION,
        _HA_STATES + r" for the host id: ?(?P<id>\d+)",
        begins=("Transitioned host HA state from:",),
        machine=HA,
        printed_by="HAManagerImpl",
        since="4.11",
        until="4.19",
    ),
    Format(
        "host-ha-listener",
        Kind.ECHO,
        r"HA state (?P<side>pre|post)-transition:: new state=\[?(?P<destination>\w+)\]?, "
        r"old state=\[?(?P<source>\w+)\]?, "
        r"for resource id=\[?(?P<id>\d+)\]?, status=\[?(?P<status>\w+)\]?, ha config state=\[?(?P<configured>\w+)\]?",
        begins=("HA state p",),
        machine=HA,
        printed_by="HAManagerImpl",
        since="4.11",
    ),
    Format(
        "host-ha-refused",
        Kind.REFUSED,
        r"Unable to find next HA state for current HA state=\[(?P<source>\w+)\] for event=\[(?P<event>\w+)\] for host ?"
        r"(?:=\[(?P<id>\d+)\]|(?P<host>.+?\}|.+?)(?: with id (?P<number>\d+))?(?:\.|$))",
        begins=("Unable to find next HA state for current HA state=",),
        machine=HA,
        printed_by="HAManagerImpl",
        since="4.11",
    ),
    Format(
        "oobm-power",
        Kind.TRANSITION,
        r"Transitioned out-of-band management power state from (?P<source>\w+) to (?P<destination>\w+) "
        r"due to event: (?P<event>\w+) for (?P<host>.+)",
        begins=("Transitioned out-of-band management power state from ",),
        machine=POWER,
        printed_by="OutOfBandManagementServiceImpl",
        since="4.16",
    ),
    Format(
        "oobm-power-old",
        Kind.TRANSITION,
        r"Transitioned out-of-band management " + _OLD_POWER + r" ?(?P<id>\d+)",
        begins=("Transitioned out-of-band management power state from:",),
        machine=POWER,
        printed_by="OutOfBandManagementServiceImpl",
        since="4.9",
        until="4.15",
    ),
    Format(
        "oobm-power-lost",
        Kind.LOST,
        r"Failed to update out-of-band management " + _OLD_POWER + r" ?(?P<id>\d+)",
        begins=("Failed to update out-of-band management power state from:",),
        machine=POWER,
        printed_by="OutOfBandManagementDaoImpl",
        since="4.9",
    ),
    # --- what hypervisors report
    Format(
        "power-report",
        Kind.REPORT,
        r"VM state report is updated\. (?P<at_host>.+?), (?P<vm>VM.+|null), power state: (?P<power>\w+)",
        begins=("VM state report is updated. ",),
        machine=VM,
        printed_by="VirtualMachinePowerStateSyncImpl",
        since="4.20",
    ),
    Format(
        "power-report-old",  # some builds print a brace too many
        Kind.REPORT,
        r"VM state report is updated\. host: (?P<at_host>\d+), vm id: (?P<id>\d+)\}?, power state: (?P<power>\w+)",
        begins=("VM state report is updated. host: ",),
        machine=VM,
        printed_by="VirtualMachinePowerStateSyncImpl",
        since="4.3",
        until="4.20",
    ),
    Format(
        "power-sync",
        Kind.REPORT,
        r"VM (?P<vm>.+?) is at (?P<state>\w+) and we received a (?P<power>[\w-]+) report "
        r"while there is no pending jobs on it",
        begins=("VM ",),
        machine=VM,
        printed_by="VirtualMachineManagerImpl",
        since="4.3",
    ),
    Format(
        "power-synced",
        Kind.REPORT,
        r"VM (?P<vm>.+?) is sync-ed to at (?P<state>\w+) state according to (?P<power>[\w-]+) report from hypervisor",
        begins=("VM ",),
        machine=VM,
        printed_by="VirtualMachineManagerImpl",
        since="4.3",
    ),
    Format(
        "power-postponed",
        Kind.REPORT,
        r"There is pending job or HA tasks working on the VM\. vm(?: id)?: (?P<vm>.+?), postpone power-change report",
        begins=("There is pending job or HA tasks working on the VM.",),
        machine=VM,
        printed_by="VirtualMachineManagerImpl",
        since="4.3",
    ),
    Format(
        "out-of-band-migration",
        Kind.REPORT,
        r"Detected out of band VM migration from host (?P<old_host>.+?) to host (?P<new_host>.+)",
        begins=("Detected out of band VM migration from host ",),
        machine=VM,
        printed_by="VirtualMachineManagerImpl",
        since="4.18",
    ),
    # --- jobs
    Format(
        "job-queued",
        Kind.JOB,
        r"Sync job-(?P<job>\d+)(?: = \[[^\]]*\])? execution on object (?P<object>\w+)\.(?P<number>\d+)",
        begins=("Sync job-",),
        printed_by="AsyncJobManagerImpl",
        since="4.3",
    ),
    Format(
        "job-begun",
        Kind.JOB,
        r"Executing AsyncJob(?:VO)?\s*:?\s*(?P<what>\{.*)",
        begins=("Executing AsyncJob",),
        printed_by="AsyncJobManagerImpl",
        since="2.2",
    ),
    Format(
        "job-ended",
        Kind.JOB,
        r"Complete async job-(?P<job>\d+)(?: = \[[^\]]*\])?, jobStatus: (?P<status>\w+), resultCode: (?P<code>-?\d+), "
        r"result: (?P<result>.*)",
        begins=("Complete async job-",),
        printed_by="AsyncJobManagerImpl",
        since="2.2",
    ),
    # --- capacity
    Format(
        "capacity-released",
        Kind.CAPACITY,
        r"release (?P<what>\w+(?: \w+)?) from host: (?P<at_host>.{1,400}?)"
        + _USED
        + _OVER
        + _NEW_USED
        + r"movedfromreserved: ?(?P<from_reserved>\w+), ?moveToReservered:? ?(?P<to_reserved>true|false)",
        begins=("release ",),
        printed_by="CapacityManagerImpl",
        since="2.2",
    ),
    Format(
        "capacity-allocated",
        Kind.CAPACITY,
        r"(?:(?P<what>\w+) STATS after allocation: for|alloc (?P<thing>\w+) from) host: (?P<at_host>.{1,400}?)"
        + _USED
        + _OVER
        + _NEW_USED
        + r"requested [\w ]+: ?(?P<requested>.{1,60}?), ?alloc_from_last: ?(?P<from_last>\w+)",
        begins=("CPU STATS after ", "RAM STATS after ", "MEM STATS after ", "alloc "),
        printed_by="CapacityManagerImpl",
        since="2.2",
    ),
    # --- volumes, NICs, Kubernetes; they have no line of their own for a transition
    Format(
        "volume-refused",
        Kind.REFUSED,
        r"Failed to transit volume: (?P<volume>.+?), due to: (?:.*?" + REFUSAL + r"|(?P<why>.*))",
        begins=("Failed to transit volume: ",),
        machine=VOLUME,
        printed_by="VolumeObject",
        since="4.2",
    ),
    Format(
        "nic-released",
        Kind.NIC,
        r"The nic (?P<nic>.+?) was released according to (?P<reason>.+?) by guru (?P<guru>.+?), now updating record",
        begins=("The nic ",),
        printed_by="NetworkOrchestrator",
        since="4.18",
    ),
    Format(
        "kubernetes-refused",
        Kind.REFUSED,
        r"Failed to transition state of the Kubernetes cluster ?: (?P<cluster>.+?) in state (?P<source>\w+) "
        r"on event (?P<event>\w+)",
        begins=("Failed to transition state of the Kubernetes cluster",),
        printed_by="KubernetesClusterActionWorker",
        since="4.14",
    ),
    Format(
        "refused",
        Kind.REFUSED,
        REFUSAL,
        holds="Unable to transition to a new state from ",
        printed_by="StateMachine2",
        since="2.2",
    ),
)
"""In the order in which they are tried."""
