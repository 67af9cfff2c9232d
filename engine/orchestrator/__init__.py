"""The shell: everything that waits, reads the clock or touches the world, wrapped thinly around the core.

`orchestrator.py` takes requests; `drives.py` keeps what is driven here, and `drive.py` carries one operation from event
to event; `inventory.py` is the cloud in memory; `effects.py` performs; `lease.py` says which worker may drive what;
`tasks.py` has all that runs; `plugins.py` finds planners, gurus and drivers.
"""
