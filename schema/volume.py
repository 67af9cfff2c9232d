"""The volume machine: CloudStack's names and branches, without its extra states for one kind of upload and copy.

Pool space belongs to the volume from Creating until it is Expunged or back in Allocated. Ours: Reclaiming, where an
unwinding deletes a volume that its own operation created (or may have created) and gives the space back; and
Detaching, which CloudStack has only inside Attaching.
"""

from __future__ import annotations

from interlock.schema.machine import Overdue, machine, minutes, stable, terminal, transitional

VOLUME = machine(
    "volume",
    initial="Allocated",
    states=[
        stable("Allocated"),
        transitional("Creating", within=minutes(30), overdue=Overdue.UNWIND),
        stable("Ready"),
        transitional("Attaching", within=minutes(15), overdue=Overdue.UNWIND),
        transitional("Detaching", within=minutes(15), overdue=Overdue.UNWIND),
        transitional("Resizing", within=minutes(60), overdue=Overdue.UNWIND),
        transitional("Migrating", within=minutes(240), overdue=Overdue.UNWIND),
        transitional("Snapshotting", within=minutes(240), overdue=Overdue.UNWIND),
        transitional("RevertSnapshotting", within=minutes(240), overdue=Overdue.UNWIND),
        transitional("Restoring", within=minutes(60), overdue=Overdue.UNWIND),
        transitional("Reclaiming", within=minutes(30), overdue=Overdue.STICK),
        stable("Destroy"),
        transitional("Expunging", within=minutes(30), overdue=Overdue.UNWIND),
        terminal("Expunged"),
        stable("NotUploaded"),
        transitional("UploadInProgress", within=minutes(240), overdue=Overdue.UNWIND),
        stable("Uploaded"),
        transitional("Copying", within=minutes(240), overdue=Overdue.UNWIND),
        stable("UploadError"),
        stable("UploadAbandoned"),
    ],
    moves="""
        Allocated           CreateRequested          Creating
        Allocated           DestroyRequested         Destroy
        Allocated           UploadRequested          NotUploaded
        Allocated           AttachRequested          Allocated    # ours: the record only, it is made when its VM runs
        Allocated           DetachRequested          Allocated
        Allocated           ResizeRequested          Allocated
        Allocated           AssignRequested          Allocated    # ours: another account
        Creating            OperationRetry           Creating
        Creating            OperationFailed          Allocated
        Creating            OperationSucceeded       Ready
        Creating            ReclaimRequested         Reclaiming   # ours: undo of an effect that may have happened
        Ready               ReclaimRequested         Reclaiming   # ours: undo of a finished create
        Reclaiming          OperationSucceeded       Allocated

        Ready               ResizeRequested          Resizing
        Ready               SnapshotRequested        Snapshotting
        Ready               RevertSnapshotRequested  RevertSnapshotting
        Ready               MigrationRequested       Migrating
        Ready               AttachRequested          Attaching
        Ready               DetachRequested          Detaching
        Ready               RestoreRequested         Restoring
        Ready               DestroyRequested         Destroy
        Ready               AssignRequested          Ready
        Resizing            OperationSucceeded       Ready
        Resizing            OperationFailed          Ready
        Snapshotting        OperationSucceeded       Ready
        Snapshotting        OperationFailed          Ready
        RevertSnapshotting  OperationSucceeded       Ready
        RevertSnapshotting  OperationFailed          Ready
        Migrating           OperationSucceeded       Ready
        Migrating           OperationFailed          Ready
        Attaching           OperationSucceeded       Ready
        Attaching           OperationFailed          Ready
        Detaching           OperationSucceeded       Ready
        Detaching           OperationFailed          Ready
        Restoring           RestoreSucceeded         Ready
        Restoring           RestoreFailed            Ready

        Destroy             RecoverRequested         Ready
        Destroy             RestoreRequested         Restoring
        Destroy             ExpungingRequested       Expunging
        Expunging           ExpungingRequested       Expunging
        Expunging           OperationSucceeded       Expunged
        Expunging           OperationFailed          Destroy

        NotUploaded         UploadRequested          UploadInProgress
        NotUploaded         OperationSucceeded       Uploaded
        NotUploaded         OperationFailed          UploadError
        NotUploaded         OperationTimeout         UploadAbandoned
        UploadInProgress    OperationSucceeded       Uploaded
        UploadInProgress    OperationFailed          UploadError
        UploadInProgress    OperationTimeout         UploadError
        Uploaded            CopyRequested            Copying
        Uploaded            DestroyRequested         Destroy
        Copying             OperationSucceeded       Ready
        Copying             OperationFailed          Uploaded
        UploadError         DestroyRequested         Destroy
        UploadAbandoned     DestroyRequested         Destroy
    """,
)
