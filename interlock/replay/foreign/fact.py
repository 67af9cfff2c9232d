"""A fact: what one understood line says, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field

from interlock.replay.foreign import renderings
from interlock.replay.foreign.format import Format, Kind
from interlock.replay.foreign.renderings import NOTHING, Thing

OF_HOSTS = ("cloudstack-host", "cloudstack-resource", "cloudstack-ha", "cloudstack-power")
_RENDERED = {"vm": "vm", "host": "host", "volume": "volume", "cluster": "cluster"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One understood line. `at` is in microseconds since 1970 by the server's clock; None: the line does not say."""

    file: str
    line: int
    at: int | None
    format: Format
    said: dict[str, str] = field(default_factory=dict)
    thread: str = ""

    @property
    def kind(self) -> Kind:
        """What sort of thing it says."""
        return self.format.kind

    @property
    def machine(self) -> str | None:
        """Whose transition it is; None: of no machine, or it does not tell."""
        return self.format.machine

    @property
    def step(self) -> tuple[str, str, str]:
        """Source, event and destination, each empty where the line does not tell."""
        return self.said.get("source", ""), self.said.get("event", ""), self.said.get("destination", "")

    @property
    def place(self) -> str:
        """`FILE:LINE`."""
        return f"{self.file}:{self.line}"

    @property
    def subject(self) -> tuple[str, Thing]:
        """What sort of entity it is about, and what the line tells of it; `NOTHING` if it does not name it."""
        for group, sort in _RENDERED.items():
            if group in self.said:
                thing = renderings.read(self.said[group])
                return sort, _numbered(thing, self.said.get("number", ""))
        sort = "host" if self.machine in OF_HOSTS else "vm" if self.machine == "cloudstack-vm" else "entity"
        found = Thing(id=self.said.get("id", ""), name=self.said.get("name", ""))
        return sort, found if found != Thing() else NOTHING


def _numbered(thing: Thing, number: str) -> Thing:
    if thing.id or not number:
        return thing
    return Thing(number, thing.name, thing.uuid, thing.type, thing.state)
