"""All machines by name, and the version of their tables that journal rows carry."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.schema.machine import Machine
from interlock.schema.nic import NIC
from interlock.schema.operation import OPERATION
from interlock.schema.vm import VM
from interlock.schema.volume import VOLUME

MACHINES: Mapping[str, Machine] = {each.name: each for each in (VM, NIC, VOLUME, OPERATION)}

TABLE_VERSION = 2
"""Raise when a transition table changes: old journals are read by the tables they were written under."""
