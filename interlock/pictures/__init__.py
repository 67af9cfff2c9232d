"""Pictures of what is declared: state machines as JSON, Mermaid, DOT, SVG and rows for a terminal.

Everything here is a pure function of a `Machine`: it reads no file, starts no program and draws no chance,
so that the same tables always give the same text and a difference between two pictures is a difference
between two tables. `machine.py` is the door; the other modules stand behind it.
"""
