"""The operations: one file each, whose header is its design. `PROGRAMS` has them by kind.

A new operation is a file here, a request type in `schema/requests.py` and a line below.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.engine.core.operations.add_nic import ADD_NIC
from interlock.engine.core.operations.deploy import DEPLOY
from interlock.engine.core.operations.destroy import DESTROY
from interlock.engine.core.operations.expunge import EXPUNGE
from interlock.engine.core.operations.reboot import REBOOT
from interlock.engine.core.operations.recover import RECOVER
from interlock.engine.core.operations.remove_nic import REMOVE_NIC
from interlock.engine.core.operations.secure import SECURE
from interlock.engine.core.operations.set_default_nic import SET_DEFAULT_NIC
from interlock.engine.core.operations.start import START
from interlock.engine.core.operations.stop import STOP
from interlock.engine.core.program import Program

PROGRAMS: Mapping[str, Program] = {
    program.kind: program
    for program in (
        DEPLOY,
        START,
        STOP,
        REBOOT,
        DESTROY,
        RECOVER,
        EXPUNGE,
        ADD_NIC,
        REMOVE_NIC,
        SET_DEFAULT_NIC,
        SECURE,
    )
}
