"""The shell: everything that waits, reads the clock or touches the world, wrapped thinly around the core.

`orchestrator.py` takes requests and starts drives; `drive.py` carries one operation from event to event; `inventory.py`
is the cloud in memory; `effects.py` performs; `lease.py` says which worker may drive what; `plugins.py` finds
planners, gurus and drivers.
"""
