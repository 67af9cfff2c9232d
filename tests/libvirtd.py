"""A private libvirtd for the tests: in namespaces of its own, gone when the tests are.

Its mounts, network and processes are its own (unshare), so it uses libvirt's usual paths and disturbs no other libvirt
of the machine: no bridge, no firewall rule and no guest is seen outside. The first process of its namespace waits for
its input to end; when it does, however this process ends, the kernel kills all that runs there.

Promises: one daemon a test session (with xdist: one a worker). Where it cannot run, tests that need one are skipped
with the reason, and fail in CI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.postgres import NotInstalled

T = TypeVar("T")
NEEDED = ("libvirtd", "virtlogd", "qemu-system-x86_64", "qemu-img", "virsh", "dnsmasq", "unshare", "ip", "ebtables")
QEMU_CONF = """
user = "root"
group = "root"
cgroup_controllers = [ ]
security_driver = "none"
remember_owner = 0
"""
OWN = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
    "run": "/run/libvirt",
}
BEGIN = """
set -e
mount --make-rprivate /
while read -r own usual; do
    mkdir -p "$usual"
    mount --bind "$own" "$usual"
done <<END
__OWN__
END
ip link set lo up
virtlogd -d -p "$PWD/virtlogd.pid"
libvirtd -d -p "$PWD/libvirtd.pid"
exec "$0" -c "$1"
""".replace("__OWN__", "\n".join(f"{own} {usual}" for own, usual in OWN.items()))
KEEPER = 'folder=$1; shift; "$@"; cd /; rm -rf "$folder"'
"""Removes the folder when all is over, however this process ends."""
WAIT = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); sys.stdin.read()"
"""The first process: it has the kernel reap those that lost their parent, for libvirtd waits until they are gone."""
NETWORK, POOL, BRIDGE = "interlock-test", "interlock-test", "ilk0"
NETWORK_XML = f"""
<network>
  <name>{NETWORK}</name>
  <bridge name='{BRIDGE}'/>
  <forward mode='open'/>
  <ip address='10.213.0.1' netmask='255.255.255.0'/>
</network>
"""
STARTING = 30.0
"""Seconds that libvirtd may take to answer at first; it takes 2 to 4."""


class Libvirtd:
    """A running one. Make it with `Libvirtd.begin`."""

    def __init__(self, folder: Path, keeper: subprocess.Popen[bytes]) -> None:
        self.folder, self._keeper = folder, keeper
        self.uri = f"qemu:///system?socket={folder}/run/libvirt-sock"
        self.pool_folder, self.consoles = folder / "pool", folder / "consoles"

    @classmethod
    def begin(cls) -> Libvirtd:
        """Start one, with a network and a pool.

        Raises:
            NotInstalled: this machine cannot.
        """
        _require()
        folder = Path(tempfile.mkdtemp(prefix="interlock-libvirt-", dir="/tmp"))
        for name in (*OWN, "pool", "consoles"):
            (folder / name).mkdir()
        if Path(OWN["etc"]).is_dir():
            shutil.copytree(OWN["etc"], folder / "etc", dirs_exist_ok=True)
        shutil.rmtree(folder / "etc" / "qemu", ignore_errors=True)
        (folder / "etc" / "qemu.conf").write_text(QEMU_CONF)
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = ["sh", "-c", KEEPER, "keeper", str(folder), *command, "sh", "-c", BEGIN, sys.executable, WAIT]
        with (folder / "said").open("w") as said:
            keeper = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
            )
        begun = cls(folder, keeper)
        try:
            begun._furnish()
        except BaseException:
            begun.end()
            raise
        return begun

    def _furnish(self) -> None:
        end = time.monotonic() + STARTING
        while (said := self.virsh("version", check=False)).returncode:
            assert time.monotonic() < end, (
                f"libvirtd does not answer: {said.stderr}\n{(self.folder / 'said').read_text()}"
            )
            time.sleep(0.1)
        (self.folder / "net.xml").write_text(NETWORK_XML)
        self.virsh("net-create", str(self.folder / "net.xml"))
        self.virsh("pool-create-as", POOL, "dir", "--target", str(self.pool_folder))

    def virsh(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """As a person at the host would."""
        command = ["virsh", "-q", "-c", self.uri, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, f"virsh {' '.join(arguments)}: {done.stderr}"
        return done

    def listing(self) -> dict[str, list[str]]:
        """All there is that somebody could have left: what a person would look at."""
        lists = {
            "domains": ("list", "--all", "--name"),
            "volumes": ("vol-list", POOL),
            "filters": ("nwfilter-list",),
            "networks": ("net-list", "--all", "--name"),
            "entries": ("net-dumpxml", NETWORK),
            "pools": ("pool-list", "--all", "--name"),
        }
        found = {name: self.virsh(*command).stdout.split("\n") for name, command in lists.items()}
        entries = ET.fromstring("\n".join(found["entries"])).findall("ip/dhcp/host")
        found["entries"] = [host.get("ip", "") for host in entries]
        return {name: sorted(filter(None, map(str.strip, each))) for name, each in found.items()}

    def inside(self, *command: str) -> str:
        """What a command says in the daemon's network; its errors do not matter."""
        entered = ["nsenter", "--target", str(self._child()), "--net", *command]
        quiet = subprocess.DEVNULL
        return subprocess.run(
            entered, stdin=quiet, stdout=-1, stderr=quiet, text=True, timeout=30, check=False
        ).stdout.strip()

    def qemu(self, name: str) -> int | None:
        """The process of a guest, as seen from here."""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = each.read_bytes().split(b"\0")
            except OSError:
                continue
            if any(part.startswith(f"guest={name},".encode()) for part in command):
                return int(each.parent.name)
        return None

    def daemon(self) -> int:
        """The process of libvirtd itself."""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                ours = (each.parent / "ns/mnt").readlink() == Path(f"/proc/{self._child()}/ns/mnt").readlink()
                if ours and each.read_bytes().startswith(b"libvirtd\0"):
                    return int(each.parent.name)
            except OSError:
                continue
        raise AssertionError("libvirtd does not run")

    def restart(self) -> None:
        """Begin it again, after it was killed."""
        entered = ["nsenter", "--target", str(self._child()), "--all", "libvirtd", "-d"]
        entered += ["-p", str(self.folder / "libvirtd.pid")]
        with (self.folder / "said").open("a") as said:
            subprocess.run(entered, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=True, timeout=60)

    def ensure(self) -> None:
        """Begin it again if it has died by itself, as systemd would: libvirtd itself crashes now and then over clients
        that left while it stood still, and takes all that come later along."""
        try:
            self.daemon()
        except AssertionError:
            self.restart()

    def _child(self) -> int:
        """The first process of the namespace: the keeper's child's child."""
        pid = self._keeper.pid
        for _ in range(2):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    def end(self) -> None:
        """Stop it, with all guests, and leave nothing."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=60)


def _require() -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        raise NotInstalled(f"no {', '.join(missing)} here; docs/libvirt.md names the packages")
    if os.geteuid() != 0:
        raise NotInstalled("a libvirtd of one's own with networks needs root: run these tests as root")


@contextmanager
def eventually(within: float, every: float = 0.05) -> Iterator[Callable[[Callable[[], T]], T]]:
    """Waits for what is true soon: `with eventually(5) as until: until(lambda: …)`."""
    end = time.monotonic() + within

    def until(ask: Callable[[], Any]) -> Any:
        while not (answer := ask()):
            assert time.monotonic() < end, f"not within {within} s"
            time.sleep(every)
        return answer

    yield until
