"""The operation machine: the durable job that drives a VM's machines, from request to end.

Its events are ours (CloudStack's async job has a status column and no machine). Stuck is the named end of an
operation that neither its forward nor its undo could end; its three ways out are asked for by a person and are
journaled with who and why. Stuck is active: no other operation may touch the VM until it is resolved.
"""

from __future__ import annotations

from interlock.schema.machine import Overdue, machine, minutes, stable, terminal, transitional

OPERATION = machine(
    "operation",
    initial="Queued",
    states=[
        transitional("Queued", within=minutes(24 * 60), overdue=Overdue.UNWIND),
        # Longer than any state an operation may pass through: those are what usually is overdue.
        transitional("Running", within=minutes(6 * 60), overdue=Overdue.UNWIND),
        transitional("Retrying", within=minutes(6 * 60), overdue=Overdue.UNWIND),
        transitional("Undoing", within=minutes(6 * 60), overdue=Overdue.STICK),
        terminal("Succeeded"),
        terminal("Failed"),
        terminal("Cancelled"),
        stable("Stuck"),
    ],
    moves="""
        Queued    Claimed             Running     # a worker takes it; its journal number is the fence
        Queued    CancelRequested     Undoing
        Queued    OperationFailed     Undoing
        Queued    OperationStuck      Stuck       # a kind this release does not know
        Running   Claimed             Running     # taken over from a worker that died
        Running   StepSucceeded       Running
        Running   CancelRequested     Running     # noted; undone when the effects under way have answered
        Running   OperationRetry      Retrying
        Running   OperationFailed     Undoing
        Running   OperationSucceeded  Succeeded
        Running   OperationStuck      Stuck
        Retrying  Claimed             Retrying
        Retrying  CancelRequested     Undoing
        Retrying  OperationResumed    Running
        Retrying  OperationFailed     Undoing
        Retrying  OperationStuck      Stuck
        Undoing   Claimed             Undoing
        Undoing   CancelRequested     Undoing
        Undoing   StepUndone          Undoing
        Undoing   OperationRetry      Retrying    # undone as far as a new plan needs
        Undoing   UndoRetry           Undoing
        Undoing   OperationUndone     Failed
        Undoing   OperationCancelled  Cancelled
        Undoing   OperationStuck      Stuck
        Stuck     RetryRequested      Running
        Stuck     UndoRequested       Undoing
        Stuck     AcceptRequested     Undoing     # a person vouches that the world is as the undo would leave it
    """,
)

ACTIVE = tuple(state.name for state in OPERATION.states.values() if state.stability != "terminal")
"""An operation in one of these owns its VM: the database allows one per VM."""
DRIVEN = tuple(name for name in ACTIVE if name != "Stuck")
"""An operation in one of these is driven by a worker; recovery looks for them."""
