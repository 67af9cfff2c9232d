"""Where words go: results to standard output, everything else to standard error; `--json` is one document.

Promises: a reader that went away (`| head`) is no error: what is left is dropped, `gone` says so, and work that was
begun is ended all the same. Rich is imported only for a terminal. Errors are one line, `interlock: …`, and with
`--json` a document as well.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from interlock.cli.layout import Column, Line, Row, table

if TYPE_CHECKING:
    from rich.console import Console


class Out:
    """The two streams of one command.

    Args:
        json: whether standard output is for a program.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self.terminal = sys.stdout.isatty() and not json
        self.gone = False
        """Nobody reads any more."""
        self.failed = False
        """The result could not be written, though somebody may want it."""
        self._console: Console | None = None

    @property
    def width(self) -> int | None:
        """Of the terminal; None without one."""
        return shutil.get_terminal_size().columns if self.terminal else None

    @property
    def console(self) -> Console:
        """Rich's, for a terminal."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        return self._console

    def line(self, line: Line | str = "") -> None:
        """A line of the result."""
        cells = [(line, "")] if isinstance(line, str) else line
        if self.terminal:
            from rich.text import Text

            self.console.print(Text.assemble(*cells))
        else:
            self._write("".join(words for words, _ in cells).rstrip() + "\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Row], indent: int = 0) -> None:
        """A table of the result."""
        for line in table(columns, rows, self.width, indent):
            self.line(line)

    def text(self, text: str) -> None:
        """Text that is a format of its own, unchanged."""
        self._write(text)

    def raw(self, data: bytes) -> None:
        """Bytes that are a format of their own, unchanged."""
        self._safely(lambda: sys.stdout.buffer.write(data))

    def document(self, value: Any) -> None:
        """The one JSON document of a command."""
        self._write(_encoded(value, indent=2) + "\n")

    def record(self, value: Any) -> None:
        """One JSON line of a stream."""
        self._write(_encoded(value, indent=-1) + "\n")
        self.flush()

    def flush(self) -> None:
        """Let the reader have what was written."""
        self._safely(sys.stdout.flush)

    def _write(self, text: str) -> None:
        self._safely(lambda: sys.stdout.write(text))

    def _safely(self, write: Callable[[], object]) -> None:
        try:
            if not self.gone:
                write()
        except OSError as error:
            self.gone = True
            self.failed = not isinstance(error, BrokenPipeError)
            if self.failed:
                note(f"the result cannot be written: {error.strerror}")
            # Else Python itself complains when it flushes at exit.
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (a descriptor is wanted)
                os.dup2(nowhere.fileno(), sys.stdout.fileno())


def note(words: str) -> None:
    """A line for people, beside the result."""
    # A terminal that is gone must not keep the work from being ended well.
    with contextlib.suppress(OSError):
        print(f"interlock: {words}", file=sys.stderr, flush=True)  # noqa: T201


def failed(out: Out, code: str, message: str, **more: Any) -> None:
    """The command ends in an error."""
    if out.json:
        out.document({"error": {"code": code, "message": message, **more}})
    out.flush()
    note(message)


def _encoded(value: Any, indent: int) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()
