"""The engine drives.

`core/` decides (pure), `store/` keeps (the only SQL), `orchestrator/` acts and waits (the shell).
"""
