"""start: run a VM that is Allocated or Stopped.

Legal flow: place → prepare → domain; VM Allocated|Stopped → Starting → Running. Fails back to Stopped with the
ledger as before: the host's capacity is given back, NICs keep their addresses, volumes this start created are
deleted and Allocated again, volumes that were there stay Ready.
Races: see the steps. A VM has one active operation, so nobody else moves it meanwhile.
"""

from __future__ import annotations

from interlock.engine.core.admission.placement import admit_start
from interlock.engine.core.program import Program
from interlock.engine.core.steps.domain import DOMAIN
from interlock.engine.core.steps.place import PLACE
from interlock.engine.core.steps.prepare import PREPARE

START = Program("start", accepts=("Allocated", "Stopped"), steps=(PLACE, PREPARE, DOMAIN), admit=admit_start)
