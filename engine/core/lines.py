"""The lines of a journal file, to and from transitions: pure, one line at a time.

Promises: what a `Writer` wrote, a `Reader` gives back. A reader takes nothing else: a changed byte is found in the line
it stands in, because the line is no JSON any more, is not spelled as it would be written (order of keys, blanks), or
does not give the hash that it carries. A line that was added, removed or moved breaks the numbers; lines that were
changed so that all this fits do not give the root in the trailer; a trailer that is missing is a file that was cut off.
Whether a transition may follow the ones before it is not asked here (`rebuild.py`), and rows whose hash does not fit
are handed out, so that whoever checks can say what else is wrong.

Texts that a database kept as JSON stand in the line as they are. One that is no JSON (a row that was edited) makes a
line that no reader takes, which is as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, get_type_hints

import msgspec
from msgspec import Raw

from interlock.schema.exported import FORMAT, VERSION, Header, Trailer
from interlock.schema.machines import TABLE_VERSION
from interlock.schema.transition import Transition

_JSON = ("changes", "ledger", "detail")
"""Columns that are JSON themselves."""
_NULL = b"null"
_hints = get_type_hints(Transition)
_COLUMNS = ("seq", *(name for name in Transition.__struct_fields__ if name != "seq"))
_Row: Any = msgspec.defstruct("_Row", [(name, Raw if name in _JSON else _hints[name]) for name in _COLUMNS])
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Row).decode


class LineBroken(Exception):
    """A line that no writer wrote; the message says why. `row`: what it says, where that can be read all the same."""

    def __init__(self, reason: str, row: Transition | None = None) -> None:
        super().__init__(reason)
        self.row = row


class Root:
    """The root over all rows that were added: who knows it knows whether a journal is the one it was."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, rows: Iterable[Transition]) -> None:
        """Take rows, in order."""
        self.update("".join([f"{row.seq} {row.hash}\n" for row in rows]))

    def update(self, numbers: str) -> None:
        """Take rows of which only `SEQ HASH` and a line feed are at hand."""
        self._hash.update(numbers.encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()


def header(made_by: str, *, gaps: bool = False) -> bytes:
    """The first line of a file; `gaps`: whether numbers are left out."""
    return _sealed(Header(made_by=made_by, tables=TABLE_VERSION, gaps=gaps, hash=""))


def trailer(first: bytes, count: int, head: int, root: Root) -> bytes:
    """The last line of a file that begins with the line `first`."""
    begun = msgspec.json.decode(first, type=Header)
    return _sealed(Trailer(count=count, head=head, root=str(root), header=begun.hash, hash=""))


def line_of(row: Transition) -> bytes:
    """A row as a line, with its line feed."""
    values = [getattr(row, name) for name in _COLUMNS]
    for number in _TEXTS:
        values[number] = Raw(values[number] or _NULL)
    written: bytes = _encode(_Row(*values))
    return written + b"\n"


_TEXTS = tuple(_COLUMNS.index(name) for name in _JSON)


def row_of(line: bytes) -> Transition:
    """The row that a line, with its line feed, is.

    Raises:
        LineBroken: no writer wrote this line.
    """
    try:
        read = _decode(line)
        spelled = _encode(read) + b"\n" == line
        read.changes, read.ledger = str(read.changes, "utf-8"), str(read.ledger, "utf-8")
        read.detail = None if bytes(read.detail) == _NULL else str(read.detail, "utf-8")
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise LineBroken(f"it is no transition: {error}") from error
    row = msgspec.convert(read, Transition, from_attributes=True)
    if not spelled:
        raise LineBroken("it is not spelled as it was written: keys, their order, blanks", row)
    return row


def is_trailer(line: bytes) -> bool:
    """Whether a line means to be the last."""
    return line.startswith(b'{"end":')


def header_of(line: bytes) -> Header:
    """The header that a line is.

    Raises:
        LineBroken: it is none, was changed, or is of a newer release.
    """
    try:
        version = msgspec.json.decode(line, type=_Version)
    except msgspec.MsgspecError as error:
        raise LineBroken(f"it is no header of a journal: {error}") from error
    if version.format == FORMAT and version.version > VERSION:
        raise LineBroken(f"the file is of version {version.version}, known is {VERSION}: read it with a newer release")
    found: Header = _unsealed(line, Header, "header")
    return found


class _Version(msgspec.Struct, frozen=True):
    format: str
    version: int


def trailer_of(line: bytes) -> Trailer:
    """The trailer that a line is.

    Raises:
        LineBroken: it is none, or was changed.
    """
    found: Trailer = _unsealed(line, Trailer, "trailer")
    return found


def check_trailer(found: Trailer, begun: Header, count: int, head: int, root: Root) -> None:
    """Hold a trailer to what was read before it.

    Raises:
        LineBroken: it is that of other lines.
    """
    if found.count != count or found.head != head:
        raise LineBroken(f"it counts {found.count} transitions up to {found.head}, here are {count} up to {head}")
    if found.header != begun.hash:
        raise LineBroken("it is the trailer of another file: the header is not the one it was written with")
    if found.root != str(root):
        raise LineBroken(f"its root is {found.root[:12]}…, the transitions give {str(root)[:12]}…: some were replaced")


def _sealed(line: Header | Trailer) -> bytes:
    return _encode(msgspec.structs.replace(line, hash=_hash_of(line))) + b"\n"


def _hash_of(line: Header | Trailer) -> str:
    return hashlib.sha256(_encode(msgspec.structs.replace(line, hash=""))).hexdigest()


def _unsealed(line: bytes, kind: Any, name: str) -> Any:
    try:
        read = msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise LineBroken(f"it is no {name} of a journal: {error}") from error
    if _hash_of(read) != read.hash:
        raise LineBroken(f"the {name} was edited: its hash is {read.hash[:12]}…, it gives {_hash_of(read)[:12]}…")
    if _encode(read) + b"\n" != line:
        raise LineBroken(f"the {name} is not spelled as it was written: keys, their order, blanks")
    return read
