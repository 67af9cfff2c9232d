"""The core: what follows from what. Values in, values out; no clock, no chance, no I/O, no event loop.

`decide.py` is the one door; `operations/` says what each operation does, step by step; `draft.py` is how a rule
writes down what it decides. Because time and ids come in with the event, the same snapshot and event always give
the same decision: replay and fuzzing rest on that.
"""
