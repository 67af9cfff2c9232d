"""A private PostgreSQL for the tests: made from the machine's own binaries, gone when the tests are.

One server a test session (with xdist: one a worker), in a folder of its own under /tmp, reached by a Unix socket, so
no port can be taken. PostgreSQL refuses to run as root: it is run as `postgres` or `nobody` then. A keeper, a shell
that waits for its input to end, stops the server and removes the folder, however this process ends.

Promises: a test gets a database nobody else has; where no server is installed, tests that need one are skipped with
the reason, and fail in CI.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("initdb", "pg_ctl", "postgres")
SETTINGS = (
    "listen_addresses=''",
    "fsync=on",
    "shared_buffers=32MB",
    "max_connections=60",
    "autovacuum=off",
    "checkpoint_timeout=1h",
    "max_wal_size=4GB",
    "timezone='UTC'",
)
KEEPER = 'read -r _; "$1" stop -D "$2/data" -m immediate >"$2/stop" 2>&1; rm -rf "$2"'


class NotInstalled(Exception):
    """This machine has no PostgreSQL server; the message says where one was looked for."""


def absent(reason: str) -> None:
    """Skip the test for want of a server; in CI, fail it."""
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(reason)
    pytest.fail(f"{reason}; in CI it must be there", pytrace=False)


def binaries() -> Path:
    """The folder of a whole server: on the path, where pg_config says, or where Debian keeps them, the newest first.

    Raises:
        NotInstalled: there is none.
    """
    looked = list(_folders())
    for folder in looked:
        if all((folder / name).exists() for name in NEEDED):
            return folder
    raise NotInstalled(f"no PostgreSQL server ({', '.join(NEEDED)}) in {', '.join(map(str, looked)) or 'any folder'}")


def _folders() -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    if shutil.which("pg_config"):
        said = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False).stdout
        if said.strip():
            yield Path(said.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _runs_as() -> str | None:
    """Whom to run the server as; None: whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise NotInstalled("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


class Server:
    """A running server. Make it with `Server.begin`."""

    def __init__(self, folder: Path, tools: Path, user: str | None, settings: tuple[str, ...] = SETTINGS) -> None:
        self.folder = folder
        self._settings = settings
        self._tools, self._user = tools, user
        self._keeper = self._spawn("sh", "-c", KEEPER, "keeper", str(tools / "pg_ctl"), str(folder))

    @classmethod
    def begin(cls, *more: str) -> Server:
        """Make a server and run it.

        Args:
            more: settings that go before those of the tests.

        Raises:
            NotInstalled: this machine cannot.
        """
        tools, user = binaries(), _runs_as()
        folder = Path(tempfile.mkdtemp(prefix="interlock-pg-", dir="/tmp"))
        if user is not None:
            shutil.chown(folder, user)
        server = cls(folder, tools, user, (*SETTINGS, *more))
        try:
            server._run("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N")
            server.start()
        except BaseException:
            server.end()
            raise
        return server

    def start(self) -> None:
        """Run it; again, after `stop`."""
        options = " ".join(f"-c {setting}" for setting in (*self._settings, f"unix_socket_directories={self.folder}"))
        self._run("pg_ctl", "start", "-D", "data", "-w", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Stop it in the middle of whatever it does; `start` brings it back."""
        self._run("pg_ctl", "stop", "-D", "data", "-w", "-m", "fast")

    def crash(self) -> None:
        """Kill it as a power cut would, but for what the kernel holds; `start` brings it back, by its log."""
        self._run("pg_ctl", "stop", "-D", "data", "-w", "-m", "immediate")

    def end(self) -> None:
        """Stop it for good and leave nothing."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=60)

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def _run(self, tool: str, *arguments: str) -> None:
        # Into a file, not a pipe: the server inherits it, and a pipe would never end.
        said = self.folder / "said"
        with said.open("w") as output:
            command = [str(self._tools / tool), *arguments]
            done = subprocess.run(command, stdout=output, stderr=output, check=False, **self._manner())
        assert done.returncode == 0, f"{tool}: {said.read_text()}"

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **self._manner())

    def _manner(self) -> dict[str, Any]:
        if self._user is None:
            return {"cwd": self.folder}
        group = pwd.getpwnam(self._user).pw_gid
        return {"cwd": self.folder, "user": self._user, "group": group, "extra_groups": []}
