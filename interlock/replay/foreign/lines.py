"""The lines of a log file, one at a time: plain, or compressed with gzip, bzip2 or xz; `-` is standard input.

Promises: a file that ends in the middle of its compression gives all that can be had, and then `CutOff`. A line
without end does not fill the memory. What a file is compressed with is seen from its first bytes, never from its name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from interlock.schema.errors import InvalidRequest, NotFound

Unpacked = Callable[..., io.BufferedReader]
STDIN = "-"
BLOCK = 1 << 18
"""Bytes that are read at once. Too low: a call for each few lines; too high: memory."""
LONGEST = 1 << 20
"""Bytes of a line that are kept. Too low: a long message is cut before its end; too high: memory."""
_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""By a file's first bytes."""


class CutOff(InvalidRequest):
    """A compressed file ends too early, or is damaged; what came before was read."""

    code = "cut-off"


def lines_of(name: str) -> Iterator[bytes]:
    """Every line, without its newline; of a line longer than `LONGEST`, its beginning.

    Raises:
        NotFound: there is no such file, or it cannot be read.
        CutOff: the file is damaged; all lines before the damage were given.
    """
    with _opened(name) as file:
        rest = b""
        try:
            while block := file.read1(BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                yield from lines
                rest = rest[:LONGEST]
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CutOff(f"{name} is damaged, or was cut off: {words}; what came before was read") from error
        if rest:
            yield rest


@contextmanager
def _opened(name: str) -> Iterator[io.BufferedReader]:
    if name == STDIN:
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    with _readable(name) as raw:
        start = raw.peek(6)
        for magic, unpacked in _PACKED.items():
            if start.startswith(magic):
                with cast(Unpacked, unpacked)(raw) as file:
                    yield file
                return
        yield raw


def _readable(name: str) -> io.BufferedReader:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise NotFound(f"{name} cannot be read: {error.strerror}; name a log file") from error
