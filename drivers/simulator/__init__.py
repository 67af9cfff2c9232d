"""A driver whose world is a file: hosts, pools and guests that outlive the process, and faults on order.

For running Interlock without a hypervisor, for tests of embedders and of ourselves, and for the fuzzer.

    simulator.py     the async face: the `Driver` protocol, orders, and acting as the outside world
    worker.py        group commit: what waits at one moment goes into one transaction, in one thread
    file.py          the SQLite file and its transactions
    tables.py        the file's tables, and the triggers that count what is used
    delivery.py      what befalls a command on its way: token, fence, capability, ordered faults, late effects
    capabilities.py  what a hypervisor may be unable to do, and which commands need it
    rules.py         which rule carries out which command, and when the world refuses
    nics.py, volumes.py, guests.py, plugs.py: the rules, by what they are about
    looks.py         what rules look at before they write
    answers.py       what they answer
    faults.py        the kinds of faults, one table, and the book of orders
    outside.py       what happens that no command asked for, and what hosts report
    tales.py         what is told of it to those who listen, and lies on order
    world.py         the world as a value to compare with
    options.py       what `[drivers.simulator]` may say
"""

from interlock.drivers.simulator.faults import Fault, FaultKind
from interlock.drivers.simulator.simulator import Simulator
from interlock.drivers.simulator.world import Domain, Nic, PluggedNic, PluggedVolume, Power, Volume, World

__all__ = [
    "Domain",
    "Fault",
    "FaultKind",
    "Nic",
    "PluggedNic",
    "PluggedVolume",
    "Power",
    "Simulator",
    "Volume",
    "World",
]
