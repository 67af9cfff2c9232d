"""Files of the engine's machine brought into libvirt's pools: templates and ISOs, by their checksum.

An image is in a pool under a name with its checksum in it, so another version of it is another volume, and clones of
the old one keep their base. It is brought there once, when it is first needed.

Promises: what a volume is cloned from has been seen whole: a copy that broke off, or that somebody else may still be
writing, is read back and compared before it counts. Never changes an image that is whole.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any, BinaryIO

from interlock.drivers.libvirt.boundary import Connection, Pool, Stream, Volume, lib
from interlock.drivers.libvirt.options import ImageOptions
from interlock.drivers.libvirt.pools import find_volume, format_of, volume_xml
from interlock.drivers.libvirt.refusals import refused
from interlock.drivers.libvirt.registry import Registry
from interlock.schema.commands import Scope

PIECE = 256 * 1024
"""Bytes that libvirt takes at a time."""
LOOKS, PAUSE = 30, 0.1
"""How often libvirt is asked of what format an image is, and the seconds between. Too few: one that was just brought
counts as wrong."""


def image_name(id: str, image: ImageOptions) -> str:
    """What it is called in a pool."""
    return image.volume or f"interlock-image-{id}-{(image.sha256 or '')[:16]}"


def bring(connection: Connection, pool: Pool, id: str, image: ImageOptions, registry: Registry) -> Volume:
    """The image in this pool, brought there if it is not.

    Raises:
        Refuse: it is not there and cannot be brought, or the file is not what it should be.
    """
    name = image_name(id, image)
    there = find_volume(pool, name)
    if image.file is None:
        if there is None:
            raise refused(Scope.POOL, f"pool {pool.name()} has no volume {name}, which is template {id}")
        return _known(pool, name, id, image)
    if there is not None and _is_whole(connection, there, image, registry):
        return _known(pool, name, id, image)
    path = _checked(id, image)
    if there is not None:
        there.delete(0)
    made = pool.createXML(volume_xml(name, path.stat().st_size, "raw", sparse=True), 0)
    with path.open("rb") as file:
        upload(connection, made, file, path.stat().st_size)
    registry.put_image(f"{connection.getURI()} {made.path()}")
    return _known(pool, name, id, image)


def _known(pool: Pool, name: str, id: str, image: ImageOptions) -> Volume:
    """The image, once libvirt has seen of what format it is, and so how large the disk in it.

    libvirt looks at what was brought in a thread of its own, and takes it for raw until then.
    """
    for _ in range(LOOKS):
        volume = pool.storageVolLookupByName(name)
        if format_of(volume) == image.format:
            return volume
        time.sleep(PAUSE)
        pool.refresh(0)
    raise refused(Scope.POOL, f"template {id} is {format_of(volume)} in pool {pool.name()}, and not {image.format}")


def _checked(id: str, image: ImageOptions) -> Path:
    path = Path(image.file or "")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refused(Scope.VM, f"template {id}: {path} cannot be read: {error}") from error
    if found != image.sha256:
        raise refused(Scope.VM, f"template {id}: {path} has sha256 {found}, not {image.sha256}; give the right one")
    return path


def _is_whole(connection: Connection, volume: Volume, image: ImageOptions, registry: Registry) -> bool:
    place = f"{connection.getURI()} {volume.path()}"
    if registry.has_image(place):
        return True
    if _sum_of(connection, volume) != image.sha256:
        return False
    registry.put_image(place)
    return True


def _sum_of(connection: Connection, volume: Volume) -> str:
    found, stream = hashlib.sha256(), connection.newStream(0)

    def take(stream: Stream, data: bytes, opaque: Any) -> int:
        found.update(data)
        return len(data)

    volume.download(stream, 0, 0, 0)
    stream.recvAll(take, None)
    stream.finish()
    return found.hexdigest()


def upload(connection: Connection, volume: Volume, file: BinaryIO, size: int) -> None:
    """Fill a volume; one that cannot be filled is deleted again."""
    stream = connection.newStream(0)
    try:
        volume.upload(stream, 0, size, 0)
        stream.sendAll(lambda stream, length, opaque: file.read(min(length, PIECE)), None)
        stream.finish()
    except lib().libvirtError:
        volume.delete(0)
        raise
