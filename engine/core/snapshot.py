"""What the core is shown: the entities concerned, the cloud around them, and the rules in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from interlock.planners.protocol import AddressView, CloudView, HostPlanner, NetworkGuru
from interlock.schema.cloud import Place, SecurityGroup
from interlock.schema.commands import Capability
from interlock.schema.records import Nic, Operation, Vm, Volume
from interlock.schema.settings import Setting, SettingScope, V

P = TypeVar("P", bound=Place)


class Cloud(CloudView, Protocol):
    """The cloud as the core sees it: what planners see, and look-ups by name."""

    def find(self, kind: type[P], place_id: str) -> P | None:
        """The place of that kind and id, if there is one."""
        ...

    def ids(self, kind: type[P]) -> tuple[str, ...]:
        """The ids of all places of a kind, for messages that say what there is."""
        ...

    def all(self, kind: type[P]) -> Iterable[P]:
        """All places of a kind, by id."""
        ...

    def setting(self, setting: Setting[V], *places: tuple[SettingScope, str]) -> V:
        """The value of a setting for these places: the narrowest that is set."""
        ...

    def domains_above(self, account_id: str) -> tuple[str, ...]:
        """The account's domain and all above it, the nearest first."""
        ...

    def hosts_of_group(self, group_id: str) -> Mapping[str, int]:
        """The hosts on which VMs of an affinity group hold capacity, each with how many."""
        ...

    def addresses(self, network_id: str) -> AddressView:
        """Which addresses of a network are taken."""
        ...

    def groups(self, group_ids: tuple[str, ...], version: int) -> tuple[SecurityGroup, ...]:
        """Security groups, all of them, at least as they were when `version` was the highest of their versions."""
        ...


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The knobs of the core. Times in seconds."""

    placements: int = 4
    """Places tried for one operation. Too low: one bad host fails deploys; too high: a bad template tours the fleet."""
    tries: int = 4
    """Tries of an effect that may succeed when asked again. Too low: a blip unwinds; too high: a dead host delays."""
    undo_tries: int = 10
    """The same while undoing, where giving up means Stuck and a person's time."""
    backoff: float = 0.5
    """Wait before the second try; doubles with each, up to `backoff_most`."""
    backoff_most: float = 30.0
    """Too low: a struggling host is hammered; too high: recovery is noticed late."""
    avoid_for: float = 900.0
    """How long a refusal keeps an operation away from a host or pool."""
    look_within: float = 10.0
    """How long a host may take to say what it has of a guest, before it counts as not answering. Too low: busy hosts
    count as lost; too high: VMs of lost hosts are Running in the records for as long, times `tries`."""


class Rules(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Policy, the pure plug-ins by name, and what the drivers that are open can."""

    policy: Policy
    planners: Mapping[str, HostPlanner]
    gurus: Mapping[str, NetworkGuru]
    capabilities: Mapping[str, frozenset[Capability]] = {}


class Sight(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the shell calls the cloud and the rules that it shows, for the journal (`inputs.py`)."""

    since: int
    """The journal's last row when figures were last read; below 0: they are not of one moment."""
    counted: str
    """The sum of the marks of all decisions that are counted since."""
    rules: str | dict[str, Any]
    """Their mark, or themselves."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that one decision may depend on, besides the event. Empty but for the cloud before a deploy."""

    cloud: Cloud
    sight: Sight | None = None
    """Written down, and never looked at; None: nobody will want to decide it again."""
    operation: Operation | None = None
    vm: Vm | None = None
    nics: tuple[Nic, ...] = ()
    volumes: tuple[Volume, ...] = ()
