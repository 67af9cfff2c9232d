"""The settings: what an operator can turn, as one table. Each row says its scopes, default, bounds and meaning.

CLI (`interlock settings`), docs and the core derive from it. Promises: `parse` returns a value of the setting's type
within its bounds, or raises `InvalidRequest` that says what is allowed; a setting that is not listed does not exist,
and a test holds that every listed one is used. CloudStack's names where it has them. Knobs of one engine's own doing
(tries, waits) are not here but in `Policy`: they are no facts about the cloud.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

import msgspec

from interlock.schema.errors import InvalidRequest, NotFound

V = TypeVar("V", bool, int, float, str)


class SettingScope(StrEnum):
    """What a value may be set for; the narrowest that is set counts."""

    GLOBAL = "global"
    ZONE = "zone"
    CLUSTER = "cluster"
    POOL = "storage_pool"
    ACCOUNT = "account"


GLOBAL, ZONE, CLUSTER, POOL, ACCOUNT = SettingScope
NARROWEST_FIRST = (ACCOUNT, POOL, CLUSTER, ZONE, GLOBAL)


@dataclass(frozen=True, slots=True)
class Setting(Generic[V]):
    """One row. Bounds are inclusive; `choices` are all there is."""

    name: str
    default: V
    meaning: str
    scopes: tuple[SettingScope, ...] = (GLOBAL,)
    least: V | None = None
    most: V | None = None
    choices: tuple[V, ...] = ()

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text on one line"}
        if self.least is None and self.most is None:
            return kind[type(self.default)]
        ends = f"at least {self.least}" if self.most is None else f"{self.least} to {self.most}"
        return f"{kind[type(self.default)]}, {ends}"

    def parse(self, text: str) -> V:
        """The value that `text` says.

        Raises:
            InvalidRequest: it is of another type or out of bounds.
        """
        try:
            value = _converted(text, self.default)
        except (ValueError, msgspec.MsgspecError):
            raise self.wrong(text) from None
        outside = (self.least is not None and value < self.least) or (self.most is not None and value > self.most)
        if outside or (self.choices and value not in self.choices):
            raise self.wrong(text)
        return value

    def wrong(self, value: object) -> InvalidRequest:
        """What to say of a value that it may not have."""
        return InvalidRequest(f"setting {self.name} is {self.allowed}, not {value!r}")


def _converted(text: str, default: V) -> V:
    if isinstance(default, str):
        if not text.isprintable() or not text:
            raise ValueError
        return text
    return msgspec.convert(msgspec.json.decode(text), type(default), strict=not isinstance(default, float))


PLANNER = Setting(
    "vm.deployment.planner",
    "first-fit",
    "Who places VMs whose request and offering name no planner.",
    (GLOBAL, ZONE),
)
INSTANCE_SUFFIX = Setting("instance.name", "VM", "Last part of the instance name.", (GLOBAL, ZONE))
NAME_SCOPE = Setting(
    "vm.distinct.hostname.scope",
    "account",
    "Within what living VMs have distinct host names; network: on each network they are on.",
    choices=("none", "network", "account", "domain", "global"),
)
USER_DATA_MOST = Setting(
    "vm.userdata.max.length",
    32_768,
    "Bytes of user data, in Base64. Too low: cloud-init files do not fit; too high: every read of a VM carries them.",
    least=0,
    most=1_048_576,
)
GROUPS_MOST = Setting(
    "vm.security.groups.max",
    16,
    "Security groups of one VM. Too high: the host's firewall walks them all.",
    (GLOBAL, ACCOUNT),
    least=1,
    most=256,
)
DEFAULT_GROUP = Setting(
    "network.securitygroups.defaultadding",
    True,
    "Whether a VM that names no security group joins its account's default one, which is made if need be.",
)
DISK_LEAST = Setting(
    "custom.diskoffering.size.min", 1024, "Least size of a disk whose offering leaves it open, in MiB.", least=1
)
DISK_MOST = Setting(
    "custom.diskoffering.size.max", 1_048_576, "Greatest size of a disk whose offering leaves it open, in MiB.", least=1
)
VOLUME_MOST = Setting(
    "storage.max.volume.size", 2_097_152, "Greatest size of any volume, in MiB.", (GLOBAL, ZONE), least=1
)
CPU_THRESHOLD = Setting(
    "cluster.cpu.allocated.capacity.disablethreshold",
    1.0,
    "Share of a cluster's CPU beyond which no VM is placed there. CloudStack's default, 0.85, keeps room for counters "
    "that drift; ours do not.",
    (GLOBAL, ZONE, CLUSTER),
    least=0.0,
    most=1.0,
)
MEMORY_THRESHOLD = Setting(
    "cluster.memory.allocated.capacity.disablethreshold",
    1.0,
    "Share of a cluster's memory beyond which no VM is placed there.",
    (GLOBAL, ZONE, CLUSTER),
    least=0.0,
    most=1.0,
)
POOL_THRESHOLD = Setting(
    "pool.storage.allocated.capacity.disablethreshold",
    1.0,
    "Share of a pool's capacity beyond which no new volume is placed there.",
    (GLOBAL, ZONE, POOL),
    least=0.0,
    most=1.0,
)
LAST_HOST = Setting("consider.last.host", True, "Whether a VM that starts again goes where it ran last, if it fits.")
ELSEWHERE = Setting(
    "allow.deploy.vm.if.deploy.on.given.host.fails",
    False,
    "Whether a VM that cannot be placed where an administrator chose is placed anywhere.",
)
EXPUNGE_DELAY = Setting(
    "expunge.delay",
    86_400,
    "Seconds from Destroyed until a VM is expunged by itself; it can be recovered until then. -1: never by itself.",
    (GLOBAL, ACCOUNT),
    least=-1,
)
FULL_CLONE = Setting(
    "volume.create.full.clone",
    True,
    "Whether root disks are full copies of their template; false: linked to it, which is quick and ties them to it.",
    (GLOBAL, ZONE, POOL),
)
UNKNOWN_DOMAIN = Setting(
    "vm.unknown.domain",
    "report",
    "What becomes of a guest that should not be: of no VM here, or of one that is recorded elsewhere or as not "
    "running. report: it is logged and listed; quarantine: it is halted where it stands; end: it is stopped and "
    "removed. Where another database uses the same hosts, its guests are such, too.",
    (GLOBAL, ZONE, CLUSTER),
    choices=("report", "quarantine", "end"),
)
RETENTION = Setting(
    "journal.retention.days",
    -1,
    "Days after which what has ended leaves the database for an archive by itself, if there is a folder for it. -1: "
    "never by itself.",
    least=-1,
)
NO_FOLDER = "none"
ARCHIVE_FOLDER = Setting(
    "journal.archive.folder",
    NO_FOLDER,
    "Folder of archives, as all machines name it that engines run on; it must stay where it is. none: nothing is "
    "archived by itself.",
)

AnySetting: TypeAlias = Setting[bool] | Setting[int] | Setting[float] | Setting[str]
SETTINGS: Mapping[str, AnySetting] = {
    row.name: row
    for row in (
        PLANNER,
        INSTANCE_SUFFIX,
        NAME_SCOPE,
        USER_DATA_MOST,
        GROUPS_MOST,
        DEFAULT_GROUP,
        DISK_LEAST,
        DISK_MOST,
        VOLUME_MOST,
        CPU_THRESHOLD,
        MEMORY_THRESHOLD,
        POOL_THRESHOLD,
        LAST_HOST,
        ELSEWHERE,
        EXPUNGE_DELAY,
        FULL_CLONE,
        UNKNOWN_DOMAIN,
        RETENTION,
        ARCHIVE_FOLDER,
    )
}


def setting(name: str) -> AnySetting:
    """The row of that name.

    Raises:
        NotFound: there is none.
    """
    try:
        return SETTINGS[name]
    except KeyError:
        raise NotFound(f"there is no setting {name!r}; `interlock settings` lists them") from None


def identity(name: str, scope: str, place_id: str | None) -> str:
    """The id of a value: what it sets, and for what."""
    return f"{name}@{scope}" + (f"/{place_id}" if place_id else "")


Chain = Sequence[tuple[SettingScope, str]]
"""The places a value is wanted for, in any order; global is understood."""
