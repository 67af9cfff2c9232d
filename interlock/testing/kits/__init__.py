"""The conformance kits: what must hold of a driver, a planner or a guru, checked for code that we have not seen.

    driver.py      the checks of a driver (under_test.py: how it is opened)
    planner.py     those of a planner
    guru.py        those of a guru, also of pods
    promises.py    the sentences of the protocols that the checks hold a plug-in to, word for word
    broken.py      the failure that names the sentence
    scene.py       a driver's places and the commands of a VM's life there
    told.py        a conversation with a driver, written down
    model.py       the reference model of the driver protocol
    lives.py       command sequences at random
    clouds.py      a cloud in memory, as planners see it    demands.py   clouds and demands at random
    networks.py    addresses in memory, networks at random
    at_random.py   checks for any arguments
    purity.py      whether a function looks at clock, chance or files

Promises: a kit runs under plain pytest, without a plug-in; each failure says which sentence is broken, and by what.
Runs are derandomized: the same code gives the same verdict.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis  # noqa: F401 - only asked whether it is there
    import pytest as _pytest  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"the conformance kits need {missing.name}, which is not installed; install the extra: "
        "pip install 'interlock[testing]'",
        name=missing.name,
    ) from missing
