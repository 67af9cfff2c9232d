"""A driver whose world is a file: hosts, pools and guests that outlive the process, and faults on order.

For running Interlock without a hypervisor, for tests of embedders and of ourselves, and for the fuzzer.

    simulator.py   the async face: the `Driver` protocol, orders, and acting as the outside world
    worker.py      group commit: what waits at one moment goes into one transaction, in one thread
    file.py        the SQLite file and its transactions
    delivery.py    what befalls a command on its way: token, fence, ordered faults, late effects
    rules.py       what each command does to the world, and when it is refused
    faults.py      the kinds of faults, one table, and the book of orders
    world.py       the world as a value to compare with
    options.py     what `[drivers.simulator]` may say
"""

from interlock.drivers.simulator.faults import Fault, FaultKind
from interlock.drivers.simulator.simulator import Simulator
from interlock.drivers.simulator.world import Domain, Nic, Power, Volume, World

__all__ = ["Domain", "Fault", "FaultKind", "Nic", "Power", "Simulator", "Volume", "World"]
