"""Planners decide where: hosts, pools and addresses. Pure functions of what they are shown; only the engine writes.

`protocol.py` says what a host planner and a network guru are, and what they are shown. Own ones register under the
entry-point groups `interlock.planners` and `interlock.gurus`, or are handed to `Engine.open` as objects.
"""
