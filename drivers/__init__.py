"""Drivers act: they carry out the engine's commands on the world, and know neither planners nor the database.

`protocol.py` says what a driver is; `simulator/` is one that keeps its world in a file. Own drivers register under
the entry-point group `interlock.drivers`, or are handed to `Engine.open` as objects.
"""
