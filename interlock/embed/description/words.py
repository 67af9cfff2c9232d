"""What a key of the cloud description may be: the types that its tables are made of.

Bounds are such that every sum the database keeps of these values fits its column.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{0,255}\Z")]
"""One line."""
Positive = Annotated[int, Meta(ge=1, le=2**40)]
Count = Annotated[int, Meta(ge=0, le=2**40)]
Cores = Annotated[int, Meta(ge=1, le=1024)]
HostCores = Annotated[int, Meta(ge=1, le=1_000_000)]
Megahertz = Annotated[int, Meta(ge=1, le=1_000_000)]
Memory = Annotated[int, Meta(ge=1, le=2**30)]
Disk = Annotated[int, Meta(ge=1, le=2**26)]
"""1 MiB to 64 TiB, as a request may ask."""
Ratio = Annotated[float, Meta(ge=1.0, le=100.0)]
Octet = Annotated[int, Meta(ge=0, le=255)]
Ids: TypeAlias = tuple[Id, ...]
Value: TypeAlias = bool | int | float | Text
Settings: TypeAlias = dict[str, Value]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Owner(Table, frozen=True):
    """Whom a place is dedicated to: an account, or a domain with those below. Exactly one of the two."""

    account: Id | None = None
    domain: Id | None = None


class Limits(Table, frozen=True):
    """The most an account, or a domain with all below, may have of each; without: any amount."""

    vms: Count | None = None
    cpu_cores: Count | None = None
    memory_mib: Count | None = None
    volumes: Count | None = None
    storage_mib: Count | None = None
    public_ips: Count | None = None


Options: TypeAlias = dict[str, dict[str, Any]]
"""Of drivers, by name."""
