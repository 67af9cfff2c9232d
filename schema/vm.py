"""The VM machine. States and events are CloudStack's where it has them; ours are marked.

Where we differ, and why, is in docs/decisions/0003-machines.md. In short: we begin at Allocated, a failed expunge
ends in Error (CloudStack's PR 12749) instead of looping, Expunged is a state, and Unknown can be reached: it
is where a VM stands while its host is lost (reconciliation will say so).
"""

from __future__ import annotations

from interlock.schema.machine import Overdue, machine, minutes, stable, terminal, transitional

VM = machine(
    "vm",
    initial="Allocated",
    states=[
        stable("Allocated"),
        # Deadlines bound how long a caller can be left without an answer. Too low: slow template copies are
        # unwound although they would have ended. Too high: a hung host keeps a VM and its capacity busy.
        transitional("Starting", within=minutes(30), overdue=Overdue.UNWIND),
        stable("Running"),
        transitional("Stopping", within=minutes(15), overdue=Overdue.UNWIND),
        stable("Stopped"),
        transitional("Migrating", within=minutes(60), overdue=Overdue.UNWIND),
        transitional("Restoring", within=minutes(60), overdue=Overdue.UNWIND),
        stable("Destroyed"),
        transitional("Expunging", within=minutes(30), overdue=Overdue.UNWIND),
        terminal("Expunged"),
        stable("Error"),
        stable("Unknown"),
    ],
    moves="""
        Allocated   StartRequested              Starting    # ours: the records are there, nothing is taken yet
        Allocated   DestroyRequested            Destroyed
        Allocated   ExpungeOperation            Expunging
        Allocated   OperationFailedToError      Error
        Allocated   ScaleRequested              Allocated   # ours: another offering
        Allocated   AssignRequested             Allocated   # ours: another account
        Allocated   NicChangeRequested          Allocated   # ours: a NIC more or less, or another default one

        Stopped     StartRequested              Starting
        Stopped     DestroyRequested            Destroyed
        Stopped     StopRequested               Stopped
        Stopped     AgentReportStopped          Stopped
        Stopped     OperationFailedToError      Error
        Stopped     OperationFailed             Stopped
        Stopped     ExpungeOperation            Expunging
        Stopped     AgentReportShutdowned       Stopped
        Stopped     StorageMigrationRequested   Migrating
        Stopped     RestoringRequested          Restoring
        Stopped     FollowAgentPowerOnReport    Running
        Stopped     FollowAgentPowerOffReport   Stopped
        Stopped     ScaleRequested              Stopped
        Stopped     AssignRequested             Stopped
        Stopped     NicChangeRequested          Stopped

        Starting    OperationRetry              Starting    # another destination was chosen
        Starting    OperationSucceeded          Running
        Starting    OperationFailed             Stopped
        Starting    AgentReportRunning          Running
        Starting    AgentReportStopped          Stopped
        Starting    AgentReportShutdowned       Stopped
        Starting    FollowAgentPowerOnReport    Running
        Starting    FollowAgentPowerOffReport   Stopped

        Running     StopRequested               Stopping
        Running     MigrationRequested          Migrating
        Running     OperationSucceeded          Running
        Running     AgentReportRunning          Running
        Running     AgentReportStopped          Stopped
        Running     AgentReportShutdowned       Stopped
        Running     AgentReportMigrated         Running
        Running     FollowAgentPowerOnReport    Running
        Running     FollowAgentPowerOffReport   Stopped
        Running     ScaleRequested              Running     # what it holds grows, before the guest does
        Running     ScaleSucceeded              Running     # what it holds shrinks, after the guest did
        Running     ScaleFailed                 Running
        Running     NicChangeRequested          Running
        Running     RulesRequested              Running     # ours: its host is to know its security groups' rules
        Running     RulesTold                   Running     # ours: it knows them
        Running     HostLost                    Unknown     # ours: nobody can say whether it runs

        Unknown     FollowAgentPowerOnReport    Running
        Unknown     FollowAgentPowerOffReport   Stopped
        Unknown     StopRequested               Stopping

        Stopping    OperationSucceeded          Stopped
        Stopping    OperationFailed             Running
        Stopping    StopRequested               Stopping
        Stopping    AgentReportRunning          Running
        Stopping    AgentReportStopped          Stopped
        Stopping    AgentReportShutdowned       Stopped
        Stopping    FollowAgentPowerOnReport    Running
        Stopping    FollowAgentPowerOffReport   Stopped

        Migrating   MigrationRequested          Migrating
        Migrating   OperationSucceeded          Running
        Migrating   OperationFailed             Running
        Migrating   AgentReportRunning          Running
        Migrating   AgentReportStopped          Stopped
        Migrating   AgentReportShutdowned       Stopped
        Migrating   FollowAgentPowerOnReport    Running
        Migrating   FollowAgentPowerOffReport   Stopped

        Restoring   RestoringSuccess            Stopped
        Restoring   RestoringFailed             Stopped

        Destroyed   RecoveryRequested           Stopped
        Destroyed   ExpungeOperation            Expunging
        Destroyed   RestoringRequested          Restoring

        Expunging   ExpungeOperation            Expunging
        Expunging   OperationSucceeded          Expunged    # ours: the end is a state, not a column
        Expunging   OperationFailed             Error

        Error       DestroyRequested            Expunging
        Error       ExpungeOperation            Expunging
    """,
)
