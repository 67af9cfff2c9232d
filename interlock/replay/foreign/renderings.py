r"""How CloudStack prints a VM, a host or a volume inside a message, through all releases.

| rendering | of | releases |
| --- | --- | --- |
| `VM[User\|i-2-6-VM]` | VM; until 4.2 the host name instead of the instance name | until 4.15 |
| `VM instance {id: "6", name: "i-2-6-VM", uuid: "…", type="User"}` | VM | 4.16, 4.17 |
| `VM instance {"id":6,"instanceName":"i-2-6-VM","type":"User","uuid":"…"}`, since 2025 with `"state"` | VM | 4.18+ |
| `Host {"id":2,"name":"kvm2","type":"Routing","uuid":"…"}`, likewise `Volume {…}` | host, volume | 4.16+ |
| `Host[-2-Routing]`, `Host[-2-kvm2-Routing]` | host | until 4.15 |
| `6` | its number | all |
| `i-2-6-VM` | instance name | all |
| `null` | nothing | all |

Pure functions; what is none of these is a name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Thing:
    """What a rendering says of one VM, host or volume. A field that it does not tell is empty."""

    id: str = ""
    name: str = ""
    uuid: str = ""
    type: str = ""
    state: str = ""

    @property
    def known(self) -> str:
        """What to call it: its name, else its number, else its uuid."""
        return self.name or self.id or self.uuid


NOTHING = Thing()
_BRACKET = re.compile(r"(?:VM|Vm)\[(?P<type>\w+)\|(?P<name>.*)\]$")
_HOST = re.compile(r"Host\[-(?P<id>\d+)-(?:(?P<name>.+)-)?(?P<type>\w+)\]$")
_PAIRS = re.compile(r'(\w+)"?\s*[:=]\s*"([^"]*)"')
_INSTANCE = re.compile(r"(?:i-\d+|[a-z])-(\d+)-[\w-]+$")


def read(text: str) -> Thing:
    """The thing that a rendering shows; `NOTHING` for `null`."""
    text = text.strip().removeprefix("VM VM ").removesuffix(".")
    if text in ("", "null"):
        return NOTHING
    if text.isdigit():
        return Thing(id=text)
    if (found := _BRACKET.match(text)) or (found := _HOST.match(text)):
        return _named(**{name: value or "" for name, value in found.groupdict().items()})
    brace = text.find("{")
    if brace >= 0:
        fields = _fields(text[brace:])
        if fields:
            return _told(fields)
    return _named(name=text)


def _told(fields: dict[str, Any]) -> Thing:
    name = fields.get("instanceName") or fields.get("name") or ""
    wanted = {each: str(fields.get(each) or "") for each in ("id", "uuid", "type", "state")}
    return _named(name=str(name), **wanted)


def _fields(text: str) -> dict[str, Any]:
    """Of JSON, or of the almost-JSON that 4.16 prints; of JSON that was cut, the strings that are whole."""
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return dict(_PAIRS.findall(text))
    return found if isinstance(found, dict) else {}


def _named(name: str = "", id: str = "", uuid: str = "", type: str = "", state: str = "") -> Thing:
    """An instance name holds the VM's number: `i-ACCOUNT-6-VM`, `r-6-VM`, `v-6-VM`, `s-6-VM`."""
    if not id and (found := _INSTANCE.match(name)):
        id = found[1]
    return Thing(id, name, uuid, type, state)
