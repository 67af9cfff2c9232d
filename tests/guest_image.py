"""A guest that boots in seconds, made by the tests: Debian's kernel for clouds, and an initramfs around busybox.

What it prints on its serial console is what tests believe: its host name from the config drive, the address that DHCP
gave it and that the config drive names, and what lies at the beginning of its disks. It is made once and kept in a
folder of the user's cache; `apt-get download` needs no root.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import NotInstalled

VERSION = "4"
"""Of what is made here; a change makes it anew."""
MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "isofs", "button", "evdev")
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /mod/$module.ko || echo "GUEST lacks $module"; done
for button in /dev/input/event*; do (head -c 24 $button >/dev/null && echo "GUEST goes down" && poweroff -f) & done
for disk in /dev/vd*; do
    mount -t iso9660 -o ro $disk /mnt 2>/dev/null && break
    echo "GUEST disk ${disk#/dev/} $(head -c 24 $disk | tr -dc 'a-z0-9-')"
done
hostname "$(sed -n 's/.*"local-hostname": "\\(.*\\)".*/\\1/p' /mnt/meta-data)"
echo "GUEST name $(hostname)"
echo "GUEST told $(sed -n 's/.*"\\([0-9.]*\\/[0-9]*\\)".*/\\1/p' /mnt/network-config | tr '\\n' ' ')"
echo "GUEST data $(tr '\\n' ' ' < /mnt/user-data)"
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    udhcpc -i eth0 -s /lease -n -q -t 8 -T 1 >/dev/null 2>&1 || echo "GUEST has no lease"
    ping -c 1 -W 2 10.213.0.1 >/dev/null 2>&1 && echo "GUEST reaches its gateway"
    ip addr add 10.213.0.250/24 dev eth0
    ping -c 1 -W 1 -I 10.213.0.250 10.213.0.1 >/dev/null 2>&1 && echo "GUEST spoofs"
    ip addr del 10.213.0.250/24 dev eth0
fi
(while nc -l -p 22 -e echo "GUEST 22"; do :; done) >/dev/null 2>&1 &
(while nc -l -p 80 -e echo "GUEST 80"; do :; done) >/dev/null 2>&1 &
echo "GUEST ready"
while :; do sleep 3600; done
"""
LEASE = """#!/bin/sh
[ "$1" = bound ] && ip addr add "$ip/$mask" dev "$interface" && echo "GUEST leased $ip" >/dev/console
exit 0
"""


@dataclass(frozen=True)
class GuestImage:
    """What it boots from."""

    kernel: Path
    initrd: Path


def guest_image() -> GuestImage:
    """The guest, made if it is not there.

    Raises:
        NotInstalled: this machine cannot make it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interlock-tests" / f"guest-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    image = GuestImage(cache / "vmlinuz", cache / "initrd.gz")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.initrd.exists():
            _make(cache, image)
    return image


def _make(cache: Path, image: GuestImage) -> None:
    for needed in ("apt-get", "dpkg", "cpio", "busybox"):
        if shutil.which(needed) is None:
            raise NotInstalled(
                f"no {needed} here, which the tests' guest is made with; docs/libvirt.md names the packages"
            )
    work = cache / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    _run(work, "apt-get", "-qq", "download", _package())
    [package] = work.glob("*.deb")
    _run(work, "dpkg", "-x", str(package), "kernel")
    root = work / "root"
    for folder in ("bin", "mod", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", root / "bin" / "busybox")
    known = {path.stem: path for path in (work / "kernel").rglob("*.ko")}
    order = list(dict.fromkeys(name for wanted in MODULES for name in _with_needed(known, wanted)))
    for name in order:
        shutil.copy(known[name], root / "mod")
    (root / "modules").write_text("\n".join(order))
    for name, text in (("init", INIT), ("lease", LEASE)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), capture_output=True, check=True
    ).stdout
    shutil.copy(next((work / "kernel" / "boot").glob("vmlinuz*")), image.kernel)
    made = image.initrd.with_suffix(".new")
    made.write_bytes(gzip.compress(packed, 1))
    made.rename(image.initrd)
    shutil.rmtree(work)


def _package() -> str:
    said = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=False
    )
    found = re.search(r"Depends: (linux-image-\S+)", said.stdout)
    if found is None:
        raise NotInstalled("apt knows no linux-image-cloud-amd64, which the tests' guest boots; run apt-get update")
    return found.group(1)


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)}: {done.stderr}")


def _with_needed(known: dict[str, Path], name: str) -> Iterator[str]:
    """A module after all that it needs; those that are built in are not there."""
    found = re.search(rb"depends=([^\0]*)\0", known[name].read_bytes())
    for needed in (found.group(1).decode() if found else "").split(","):
        if needed in known:
            yield from _with_needed(known, needed)
    yield name


if __name__ == "__main__":
    made = guest_image()
    print(f"KERNEL={made.kernel} INITRD={made.initrd}")  # for `make demo-libvirt`
