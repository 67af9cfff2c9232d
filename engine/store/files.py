"""Journal files on a disk: their lines, plain or packed with zstd, read and written with a memory that does not grow.

Promises: a file is written beside its name, made durable and renamed when it is whole, so a name never stands for half
a file, whatever ends the process. What it is packed with is seen from its first bytes, not from its name.

A packed file is a row of parts, some `PART` bytes of lines each, packed by itself. Before each part stands a frame that
every program that unpacks zstd skips: the part's length and SHA-256. zstd alone would not do: bits of its own headers
mean nothing, and changing them changes no line. A file that another program packed has no such frames; it is read
as well, and held to what its lines say.

Changed packed bytes are told with the number of lines that were read before the part they are in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from interlock.schema.errors import StoreError

PART = 1 << 20
"""Bytes of lines packed at once. Too low: packed less well; too high: changed bytes are located less well."""
LONGEST = 64 << 20
"""Bytes of a line or a part at most. Too low: a long row cannot be read; too high: rubbish fills the memory."""
ZSTD = b"\x28\xb5\x2f\xfd"
"""What zstd frames begin with."""
SKIPPED = b"\x50\x2a\x4d\x18"
"""What frames begin with that are skipped."""
_SEAL = struct.Struct("<4sI8sI32s")
_NAME = b"interlok"
PACKED = (".zst", ".zstd")
"""How the names of files end that are written packed."""


class FileBroken(Exception):
    """The bytes of a file are not those that were written; the message says what is wrong with them."""


def zstd() -> Any:
    """The library that packs.

    Raises:
        StoreError: it is not installed.
    """
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return import_module(name)
    except ImportError as error:
        raise StoreError("packed journals need zstd: install interlock[zstd], or unpack them with `zstd -d`") from error


# --- reading


def lines(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a file that is open for reading, each with its line feed; the last may lack it.

    Raises:
        FileBroken: it cannot be unpacked, or a line is longer than any that is written.
        StoreError: it is packed, and the library that unpacks is not installed.
    """
    blocks = {SKIPPED: _parts, ZSTD: _unpacked}.get(file.peek(4)[:4], _blocks)
    return _split(blocks(file))


def _blocks(file: BufferedReader) -> Iterator[bytes]:
    while block := file.read(PART):
        yield block


def _split(blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > LONGEST:
            raise FileBroken(f"a line is longer than {LONGEST >> 20} MiB; this is no journal")
    if rest:
        yield rest


def _unpacked(file: BufferedReader) -> Iterator[bytes]:
    """What another program has packed, as one frame or several."""
    library = zstd()
    try:
        yield from _blocks(library.ZstdFile(file))
    except (library.ZstdError, EOFError) as error:
        raise FileBroken(f"it cannot be unpacked: {error}") from error


def _parts(file: BufferedReader) -> Iterator[bytes]:
    library, number = zstd(), 0
    while file.peek(1):
        number += 1
        yield _plain(library, _part(file, number), number)


def _part(file: BufferedReader, number: int) -> bytes:
    seal = file.read(_SEAL.size)
    if len(seal) < _SEAL.size:
        raise FileBroken(f"it was cut off, or added to, where packed part {number} begins")
    magic, size, name, length, digest = _SEAL.unpack(seal)
    if (magic, size, name) != (SKIPPED, _SEAL.size - 8, _NAME) or length > LONGEST:
        raise FileBroken(f"packed part {number} does not begin as it was written")
    packed = file.read(length)
    if len(packed) < length:
        raise FileBroken(f"it was cut off in packed part {number}, or that part's length was changed")
    if hashlib.sha256(packed).digest() != digest:
        raise FileBroken(f"bytes of packed part {number}, or of its hash, were changed")
    return packed


def _plain(library: Any, packed: bytes, number: int) -> bytes:
    unpacker = library.ZstdDecompressor()
    try:
        plain: bytes = unpacker.decompress(packed, LONGEST)
    except library.ZstdError as error:
        raise FileBroken(f"packed part {number} cannot be unpacked: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise FileBroken(f"packed part {number} is more than one frame, or more than {LONGEST >> 20} MiB")
    return plain


# --- writing


@contextmanager
def written(path: Path) -> Iterator[Callable[[bytes], object]]:
    """A function that writes bytes to a file, which is there under its name once the block has ended well.

    Raises:
        StoreError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            with packing(file, path.suffix in PACKED) as write:
                yield write
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the name as durable as the bytes."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def packing(file: IO[bytes], packed: bool) -> Iterator[Callable[[bytes], object]]:
    """A function that writes bytes to an open file, packed or not; all are there when the block has ended."""
    if not packed:
        yield file.write
        return
    packer = _Packer(file)
    yield packer.write
    packer.flush()


class _Packer:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._library = zstd()
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, lines: bytes) -> None:
        self._waiting.append(lines)
        self._size += len(lines)
        if self._size >= PART:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        packed = self._library.compress(b"".join(self._waiting))
        seal = _SEAL.pack(SKIPPED, _SEAL.size - 8, _NAME, len(packed), hashlib.sha256(packed).digest())
        self._file.write(seal + packed)
        self._waiting, self._size = [], 0
