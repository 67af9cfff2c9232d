"""The cloud description: a TOML file that says what there is, read by `interlock init` and `engine.load`.

Promises: what loads is complete and consistent; what does not is refused with the place in the file and what is
expected there. Nothing is half-loaded. Its tables are in `description/tables.py`, its rules in `description/rules.py`;
docs/cloud.md describes every key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from interlock.embed.description import people
from interlock.embed.description.firewall import security_group
from interlock.embed.description.knobs import scoped
from interlock.embed.description.offers import disk_offering, offering, template
from interlock.embed.description.rules import Places, check, names_are_distinct
from interlock.embed.description.tables import File
from interlock.embed.description.topology import zone
from interlock.schema.cloud import PLACES, Domain, Place
from interlock.schema.errors import InvalidRequest
from interlock.schema.rows import as_rows, text_of
from interlock.schema.settings import SettingScope

Row = dict[str, Any]


@dataclass(frozen=True)
class CloudDescription:
    """A cloud that has been read and checked."""

    places: list[Place]
    drivers: dict[str, dict[str, Any]]
    implied: tuple[Place, ...]
    """Those of `places` that are always there and that the file says nothing of."""

    @classmethod
    def read(cls, path: str | Path) -> CloudDescription:
        """Read a file.

        Raises:
            InvalidRequest: it is not there, not TOML, or says something that cannot be.
        """
        try:
            return cls.parse(Path(path).read_text())
        except OSError as error:
            raise InvalidRequest(f"cannot read the cloud description {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{path} is not a text file, let alone TOML") from error
        except InvalidRequest as error:
            raise InvalidRequest(f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: str) -> CloudDescription:
        """Read the text of a file; raises like `read`."""
        try:
            file = msgspec.convert(tomllib.loads(text), File)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{error} (docs/cloud.md describes every key)") from error
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"this is not TOML: {error}") from error
        said = list(_places(file))
        names_are_distinct(said)
        described = {(type(place), place.id) for place in said}
        implied = tuple(place for place in people.ALWAYS if (type(place), place.id) not in described)
        places = [*implied, *said]
        check(places)
        return cls(places, file.drivers, implied)

    def rows(self) -> dict[str, list[Row]]:
        """The rows to write, by table, those that others refer to first."""
        return {
            **rows_of(self.places),
            "domain_above": _closure(self.places),
            "driver": [{"id": name, "options": text_of(options)} for name, options in self.drivers.items()],
        }


def _places(file: File) -> Iterator[Place]:
    yield from people.domains(file.domains)
    yield from people.accounts(file.accounts)
    for each in file.zones:
        yield from zone(each)
    yield from map(offering, file.offerings)
    yield from map(disk_offering, file.disk_offerings)
    yield from map(template, file.templates)
    yield from map(people.affinity_group, file.affinity_groups)
    yield from map(security_group, file.security_groups)
    yield from map(people.ssh_key, file.ssh_keys)
    yield from scoped(file.settings, SettingScope.GLOBAL)


def rows_of(places: Iterable[Place]) -> dict[str, list[Row]]:
    """The rows of places, as the database keeps them, by table; without what it keeps itself."""
    found = Places(places)
    return {name: as_rows(name, found.all(kind)) for name, kind in PLACES.items()}


def _closure(places: Iterable[Place]) -> list[Row]:
    """Each domain with itself and all above it."""
    found = Places(places)
    return [
        {"domain_id": domain.id, "above_id": above} for domain in found.all(Domain) for above in found.above(domain.id)
    ]
