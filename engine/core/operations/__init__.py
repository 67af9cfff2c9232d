"""The operations: one file each, whose header is its design. `PROGRAMS` has them by kind.

A new operation is a file here, a request type in `schema/requests.py` and a line below.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.engine.core.operations.add_nic import ADD_NIC
from interlock.engine.core.operations.assign import ASSIGN
from interlock.engine.core.operations.attach_disk import ATTACH_DISK
from interlock.engine.core.operations.create_disk import CREATE_DISK
from interlock.engine.core.operations.delete_disk import DELETE_DISK
from interlock.engine.core.operations.deploy import DEPLOY
from interlock.engine.core.operations.destroy import DESTROY
from interlock.engine.core.operations.detach_disk import DETACH_DISK
from interlock.engine.core.operations.evict import EVICT
from interlock.engine.core.operations.expunge import EXPUNGE
from interlock.engine.core.operations.follow import FOLLOW
from interlock.engine.core.operations.migrate import MIGRATE
from interlock.engine.core.operations.reboot import REBOOT
from interlock.engine.core.operations.recover import RECOVER
from interlock.engine.core.operations.remove_nic import REMOVE_NIC
from interlock.engine.core.operations.resize_disk import RESIZE_DISK
from interlock.engine.core.operations.restore import RESTORE
from interlock.engine.core.operations.scale import SCALE
from interlock.engine.core.operations.secure import SECURE
from interlock.engine.core.operations.set_default_nic import SET_DEFAULT_NIC
from interlock.engine.core.operations.start import START
from interlock.engine.core.operations.stop import STOP
from interlock.engine.core.program import Program

PROGRAMS: Mapping[str, Program] = {
    program.kind: program
    for program in (
        *(DEPLOY, START, STOP, REBOOT, DESTROY, RECOVER, EXPUNGE, MIGRATE, SCALE, RESTORE, ASSIGN),
        *(CREATE_DISK, ATTACH_DISK, DETACH_DISK, RESIZE_DISK, DELETE_DISK),
        *(ADD_NIC, REMOVE_NIC, SET_DEFAULT_NIC, SECURE),
        *(FOLLOW, EVICT),
    )
}
