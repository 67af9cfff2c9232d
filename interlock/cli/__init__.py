"""The command line: `interlock COMMAND …`. `main.py` is the door; `docs/cli.md` shows every command.

Promises: nothing heavy is imported before the command that needs it runs; what a program reads (`--json`, a pipe) is
never cut short and holds nothing else; every exit code means one thing (`exits.py`). Everything here goes through the
Python face, `interlock.Engine`: what a command does, an embedder can do.
"""
