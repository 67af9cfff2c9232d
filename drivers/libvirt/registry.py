"""What the driver must remember beside what libvirt keeps: fences, tokens, and what libvirt has no place for.

A SQLite file beside the engine's database, shared by all its workers on one machine. A guest's own fence and token
stand in its metadata as well (metadata.py), where workers of other machines see them.

    fence   the highest seen of each VM and subject
    token   what was Done under each
    volume  how each volume was made; `whole` once it was: what is not whole is a copy that broke off
    probe   whether KVM was seen to work on a host
    nic     where each NIC is ready, and with which addresses: ReleaseNic does not say
    image   which images were seen whole, by pool and name, which has the checksum in it
    guest   on which host each VM was started, and its rules: who else names a group is told when its members change

Promises: every method is one transaction, synced to the disk, and blocks: call it in a thread. Intent is written
before libvirt is asked, so what may be there is known after a crash.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from interlock.schema import wal
from interlock.schema.commands import NicSpec, RuleSpec
from interlock.schema.errors import StoreError

TABLES = """
CREATE TABLE IF NOT EXISTS fence (entity TEXT PRIMARY KEY, fence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token (token TEXT PRIMARY KEY, gist TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS volume (
    id TEXT, pool TEXT, make TEXT NOT NULL, whole INTEGER NOT NULL, PRIMARY KEY (id, pool)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image (place TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS probe (place TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nic (
    id TEXT, host TEXT, vm TEXT NOT NULL, spec TEXT NOT NULL, PRIMARY KEY (id, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS guest (
    vm TEXT, host TEXT, rules TEXT NOT NULL, ips TEXT NOT NULL, PRIMARY KEY (vm, host)) WITHOUT ROWID;
"""
BUSY = 30.0
"""Seconds to wait for another process. Too low: a command fails because another worker writes."""
Rules = tuple[RuleSpec, ...] | None


class Guest(msgspec.Struct, frozen=True):
    """A VM's guest on a host: its rules, and the addresses that members of its groups are known by."""

    vm: str
    host: str
    rules: Rules
    ips: tuple[str, ...]


class Registry:
    """One driver's."""

    def __init__(self, path: Path) -> None:
        """Raises:
        StoreError: the file cannot be used.
        """
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=BUSY, check_same_thread=False, isolation_level=None)
            wal.switch_on(self._db)
            self._db.executescript(f"PRAGMA synchronous = FULL; {TABLES}")
        except sqlite3.Error as error:
            raise StoreError(f"driver libvirt cannot use {path}: {error}; see `registry` in docs/libvirt.md") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _one(self, query: str, *key: Any) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._db.execute(query, key).fetchone()
            return row

    # Fences and tokens

    def arrive(self, entities: Collection[str], fence: int, token: str) -> tuple[str, str | None]:
        """Note a fence; why it is too low ("": it is not), and what was Done under the token."""
        with self._writing() as db:
            late = ""
            for entity in entities:
                row = db.execute("SELECT fence FROM fence WHERE entity = ?", (entity,)).fetchone()
                if row is None or row[0] < fence:
                    db.execute("INSERT OR REPLACE INTO fence VALUES (?, ?)", (entity, fence))
                elif row[0] > fence:
                    late = f"fence {fence} of {entity} is too low: {row[0]} was seen"
            gist = db.execute("SELECT gist FROM token WHERE token = ?", (token,)).fetchone()
        return late, gist and gist[0]

    def done(self, token: str, gist: str) -> None:
        """Remember what was Done."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO token VALUES (?, ?)", (token, gist))

    # Volumes

    def volume(self, id: str, pool: str) -> tuple[str, bool] | None:
        """How it was begun, and whether it is whole; None: never heard of."""
        row = self._one("SELECT make, whole FROM volume WHERE id = ? AND pool = ?", id, pool)
        return None if row is None else (str(row[0]), bool(row[1]))

    def put_volume(self, id: str, pool: str, make: str, whole: bool) -> None:
        """It is about to be made like this, or is whole now."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO volume VALUES (?, ?, ?, ?)", (id, pool, make, whole))

    def forget_volume(self, id: str, pool: str) -> None:
        """It is gone."""
        with self._writing() as db:
            db.execute("DELETE FROM volume WHERE id = ? AND pool = ?", (id, pool))

    # Images

    def has_image(self, place: str) -> bool:
        """Whether it was seen whole there."""
        return self._one("SELECT 1 FROM image WHERE place = ?", place) is not None

    def put_image(self, place: str) -> None:
        """It is whole there."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO image VALUES (?)", (place,))

    # Probes

    def seen_kind(self, place: str) -> str | None:
        """What was seen to work there: kvm or qemu; None: nobody has looked."""
        row = self._one("SELECT kind FROM probe WHERE place = ?", place)
        return None if row is None else str(row[0])

    def put_kind(self, place: str, kind: str) -> None:
        """It was seen."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO probe VALUES (?, ?)", (place, kind))

    # NICs

    def nic(self, id: str, host: str) -> NicSpec | None:
        """With which addresses it is, or may be, ready on a host."""
        row = self._one("SELECT spec FROM nic WHERE id = ? AND host = ?", id, host)
        return None if row is None else msgspec.json.decode(row[0], type=NicSpec)

    def put_nic(self, vm: str, host: str, nic: NicSpec) -> None:
        """It is about to be made ready."""
        with self._writing() as db:
            spec = msgspec.json.encode(nic).decode()
            db.execute("INSERT OR REPLACE INTO nic VALUES (?, ?, ?, ?)", (nic.id, host, vm, spec))

    def forget_nic(self, id: str, host: str) -> None:
        """It is released."""
        with self._writing() as db:
            db.execute("DELETE FROM nic WHERE id = ? AND host = ?", (id, host))

    # Guests

    def guests(self) -> list[Guest]:
        """All that were started and not stopped."""
        with self._lock:
            rows = self._db.execute("SELECT vm, host, rules, ips FROM guest ORDER BY vm, host").fetchall()
        decode = msgspec.json.decode
        return [Guest(vm, host, decode(rules, type=Rules), tuple(decode(ips))) for vm, host, rules, ips in rows]

    def put_guest(self, guest: Guest) -> None:
        """It is about to be started, or has other rules or addresses."""
        rules, ips = (msgspec.json.encode(each).decode() for each in (guest.rules, guest.ips))
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO guest VALUES (?, ?, ?, ?)", (guest.vm, guest.host, rules, ips))

    def forget_guest(self, vm: str, host: str) -> None:
        """It is gone from the host."""
        with self._writing() as db:
            db.execute("DELETE FROM guest WHERE vm = ? AND host = ?", (vm, host))
