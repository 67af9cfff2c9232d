"""The NIC machine. CloudStack's table, enforced here (there it is declared and bypassed), and its way to the end.

The address and the MAC belong to the NIC from Allocated to Deallocated; Reserved says that they are also prepared
on the VM's host. Ours: an unwinding may release a NIC that is still Reserving, because the effect may have happened.
"""

from __future__ import annotations

from interlock.schema.machine import Overdue, machine, minutes, stable, terminal, transitional

NIC = machine(
    "nic",
    initial="Allocated",
    states=[
        stable("Allocated"),
        transitional("Reserving", within=minutes(30), overdue=Overdue.UNWIND),
        stable("Reserved"),
        transitional("Releasing", within=minutes(30), overdue=Overdue.STICK),
        transitional("Deallocating", within=minutes(30), overdue=Overdue.STICK),
        terminal("Deallocated"),
    ],
    moves="""
        Allocated     ReservationRequested  Reserving
        Allocated     DeallocateRequested   Deallocating   # ours: CloudStack sets the state directly
        Allocated     DefaultChanged        Allocated      # ours: the guest's default route
        Reserved      DefaultChanged        Reserved
        Reserving     OperationCompleted    Reserved
        Reserving     OperationFailed       Allocated
        Reserving     CancelRequested       Allocated
        Reserving     ReleaseRequested      Releasing      # ours: undo of an effect that may have happened
        Reserved      ReleaseRequested      Releasing
        Releasing     OperationCompleted    Allocated
        Releasing     OperationFailed       Reserved
        Deallocating  OperationCompleted    Deallocated
        Deallocating  OperationFailed       Allocated
    """,
)
