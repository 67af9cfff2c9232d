"""Crash rounds: real processes with operations in flight are killed, paused or cut off, and nothing may be lost by it.

    fleet.py     the cloud, and the VMs that are there before a round begins; made once, copied for each round
    plan.py      what a round does, all of it from one number
    wishes.py    what is asked next of what there is
    diary.py     what a process tells the round while it lives
    worker.py    the program that is killed: it opens the engine, asks, and keeps operations in flight
    process.py   the round's end of it: begin it, wait for a moment, kill, pause
    grounds.py   where a round is played: SQLite's file, or a database of PostgreSQL
    rounds.py    the kinds of rounds, move by move
    verdict.py   what must hold when all is over
    report.py    the table
    __main__.py  `python -m tests.killing --rounds 200 --seed 0`

A test tool: nothing of it is shipped.
"""
