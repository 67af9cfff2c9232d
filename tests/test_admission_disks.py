"""Which disks a VM may have: sizes, whose they are to say, and pools that may hold them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.core.decision import Decision
from interlock.schema.cloud import DiskOffering, Offering, StoragePool, Template, Zone
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.records import Volume
from interlock.schema.requests import DiskRequest
from interlock.schema.settings import DISK_LEAST, DISK_MOST, VOLUME_MOST, ZONE
from tests.asking import a_cloud, a_setting, accepts, ask, but, refuses
from tests.fakes import a_pool

OPEN = (a_setting(DISK_LEAST, 1), a_setting(DISK_MOST, 8))
few = st.none() | st.integers(1, 9)


def root_of(decision: Decision) -> Volume:
    return next(volume for volume in decision.volumes if volume.kind == "ROOT")


@st.composite
def roots(draw: st.DrawFn) -> dict[str, Any]:
    """All that decides the size of a root disk."""
    return {
        "iso": draw(st.booleans()),
        "template": draw(st.integers(1, 9)),
        "of_offering": draw(few),
        "strict": draw(st.booleans()),
        "asked": draw(few),
        "disk_offering": draw(st.sampled_from([None, "fixed", "open"])),
        "fixed": draw(st.integers(1, 9)),
    }


def size_by_hand(root: dict[str, Any]) -> int | None:
    """The size of the root disk as a person reads the rules; None: refused."""
    named = root["disk_offering"]
    replaces = not root["iso"] or root["of_offering"] is not None
    if root["strict"] and replaces and (named or root["asked"]):
        return None
    size: int | None
    if named == "fixed":
        size = None if root["asked"] else root["fixed"]
    elif named == "open":
        size = root["asked"] if root["asked"] and root["asked"] <= 8 else None
    elif root["iso"] and root["of_offering"] is None:
        size = None
    else:
        size = root["asked"] or root["of_offering"] or root["template"]
    return None if size is None or (not root["iso"] and size < root["template"]) else size


@given(roots())
def test_the_root_disk_has_the_one_size_the_rules_leave(root: dict[str, Any]) -> None:
    cloud = a_cloud(
        but(Template, "t", kind="iso" if root["iso"] else "disk", size_mib=root["template"]),
        but(Offering, "small", root_mib=root["of_offering"], root_strict=root["strict"]),
        DiskOffering(id="fixed", size_mib=root["fixed"]),
        *OPEN,
    )
    wishes = {"root_mib": root["asked"], "root_offering": root["disk_offering"]}
    size = size_by_hand(root)
    assert accepts(cloud, **wishes) == (size is not None)
    if size is not None:
        volume = root_of(ask(cloud, **wishes))
        assert volume.size_mib == size
        assert volume.offering_id == root["disk_offering"]
        assert volume.template_id == (None if root["iso"] else "t")


@given(st.integers(1, 12), few, st.integers(1, 5), st.integers(5, 9), st.integers(1, 9))
def test_a_data_disk_has_its_offerings_size_or_one_within_the_settings(
    asked: int, fixed: int | None, least: int, most: int, volume_most: int
) -> None:
    settings = (
        a_setting(DISK_LEAST, least),
        a_setting(DISK_MOST, most),
        a_setting(VOLUME_MOST, volume_most, ZONE, "z"),
    )
    cloud = a_cloud(DiskOffering(id="d", size_mib=fixed), but(Template, "t", size_mib=1), *settings)
    given_open, given_fixed = (DiskRequest("d", asked),), (DiskRequest("d"),)
    assert accepts(cloud, data_disks=given_open) == (fixed is None and least <= asked <= most and asked <= volume_most)
    assert accepts(cloud, data_disks=given_fixed) == (fixed is not None and fixed <= volume_most)
    assert accepts(cloud, data_disks_mib=(asked,)) == (asked <= volume_most)


tags = st.frozensets(st.sampled_from(["ssd", "fast"])).map(lambda found: tuple(sorted(found)))


@st.composite
def pools(draw: st.DrawFn) -> StoragePool:
    owner: dict[str, Any] = draw(st.sampled_from([{}, {"cluster_id": "c1"}, {"host_id": "h1"}]))
    zone = draw(st.sampled_from(["z", "z", "y"]))
    return a_pool("only", tags=draw(tags), enabled=draw(st.sampled_from([True, True, False])), zone_id=zone, **owner)


@given(pools(), st.sampled_from(["shared", "local"]), tags, st.booleans())
def test_every_disk_has_an_enabled_pool_of_its_kind_with_its_tags(
    pool: StoragePool, storage: str, wanted: tuple[str, ...], zone_has_local: bool
) -> None:
    closed = (a_pool("nfs", enabled=False), a_pool("h1-local", host_id="h1", enabled=False))
    cloud = a_cloud(
        *closed,
        pool,
        but(Zone, "z", local_storage=zone_has_local),
        but(Offering, "small", storage=storage, storage_tags=wanted),
    )
    kind = "local" if pool.host_id else "shared"
    fits = pool.enabled and pool.zone_id == "z" and kind == storage and set(wanted) <= set(pool.tags)
    assert accepts(cloud) == (fits and (storage == "shared" or zone_has_local))


def test_blank_disks_lie_where_the_root_disk_does() -> None:
    offering = DiskOffering(id="quick", size_mib=200, storage="local", storage_tags=("ssd",))
    cloud = a_cloud(offering, a_pool("ssds", host_id="h1", tags=("ssd",)))
    decision = ask(cloud, root_offering="quick", data_disks_mib=(7,), data_disks=(DiskRequest("data"),))
    assert [(each.size_mib, each.storage, each.storage_tags, each.offering_id) for each in decision.volumes] == [
        (200, "local", ("ssd",), "quick"),
        (7, "local", ("ssd",), None),
        (5000, "shared", (), "data"),
    ]


def test_refusals_of_the_root_disk_say_what_to_do() -> None:
    iso = a_cloud(but(Template, "t", kind="iso"))
    refuses(InvalidRequest, "template t is an ISO, and offering small has no root_mib: name a root_offering", iso)
    strict = a_cloud(but(Offering, "small", root_strict=True))
    for wish in ({"root_mib": 500}, {"root_offering": "data"}):
        refuses(InvalidRequest, "offering small is strict about the root disk; leave root_off", strict, **wish)
    words = "template t needs 100 MiB, and the root disk would have 99; ask for more"
    refuses(InvalidRequest, words, a_cloud(), root_mib=99)
    refuses(InvalidRequest, words, a_cloud(but(Offering, "small", root_mib=99)))
    refuses(InvalidRequest, words, a_cloud(but(DiskOffering, "data", size_mib=99)), root_offering="data")


def test_refusals_of_disk_offerings_say_what_to_do() -> None:
    def disk(offering: str, size: int | None = None) -> dict[str, Any]:
        return {"data_disks": (DiskRequest(offering, size),)}

    cloud = a_cloud()
    refuses(NotFound, "there is no disk offering 'gone'; there are: data, open", cloud, **disk("gone"))
    refuses(InvalidRequest, "disk offering data fixes the size at 5000 MiB; leave", cloud, **disk("data", 5000))
    words = "disk offering open takes a size from 1024 to 1048576 MiB"
    refuses(InvalidRequest, f"{words}: say which", cloud, **disk("open"))
    refuses(InvalidRequest, f"{words}, not 1023: choose one of these, or have custom.", cloud, **disk("open", 1023))
    refuses(InvalidRequest, f"{words}: say which", cloud, root_offering="open")
    disabled = a_cloud(but(DiskOffering, "data", enabled=False))
    refuses(InvalidRequest, "disk offering data is disabled; choose another", disabled, **disk("data"))


def test_refusals_of_storage_name_the_disk_the_zone_and_what_to_do() -> None:
    small = a_cloud(a_setting(VOLUME_MOST, 99))
    refuses(InvalidRequest, "the root disk would have 100 MiB, and volumes in zone z have 99 at most; ask for", small)
    small = a_cloud(a_setting(VOLUME_MOST, 101))
    refuses(InvalidRequest, "data disk 2 would have 102 MiB", small, data_disks_mib=(101, 102))
    remote = a_cloud(but(Zone, "z", local_storage=False), but(Offering, "small", storage="local"))
    refuses(InvalidRequest, "the root disk would be on local storage, which zone z has not; choose", remote)
    remote = a_cloud(but(Zone, "z", local_storage=False), but(DiskOffering, "data", storage="local"))
    words = "data disk 1 would be on local storage by disk offering data, which zone z has not"
    refuses(InvalidRequest, words, remote, data_disks=(DiskRequest("data"),))
    tagged = a_cloud(but(Offering, "small", storage_tags=("ssd",)), a_pool("s", tags=("ssd",), enabled=False))
    words = "no enabled pool of zone z can hold the root disk: it wants shared storage with tags ssd, and there are: "
    refuses(InvalidRequest, f"{words}h1-local (host), nfs (zone), s (zone with tags ssd, disabled)", tagged)
