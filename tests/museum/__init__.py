"""A museum of known bugs: mutants of the product, each with a bug that a real system had, for the fuzzer to find.

    python -m tests.museum [--seeds N] [--only NAME] [--jobs N] [--write]

One room for each part of the product that has the bug: `unwinding` (the undo of a step), `deciding` (what follows from
an event), `books` (what the database refuses), `working` (who drives an operation), `driving` (the driver). Where they
come from is said by each exhibit (`exhibit.py`); how they are put in, `planting.py`; how they are sought, `search.py`;
docs/museum.md is made by `document.py`.
"""
