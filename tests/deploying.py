"""A process that deploys one VM on libvirt, and is killed before the Nth call that changes something there.

`python -m tests.deploying DATABASE CLOUD.toml N`; without N it lives, and prints the names of those calls. The kill is
a real one (SIGKILL), in the thread that was about to make the call.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from interlock import CloudDescription, DeployVM, Engine
from interlock.drivers.libvirt.gate import Gate

WISH = DeployVM(
    name="web-1",
    offering="tiny",
    template="debian-12",
    account="eve",
    security_groups=("eve/web",),
    data_disks_mib=(8,),
)


async def deploy(database: str, cloud: str) -> None:
    async with Engine.open(database, cloud=CloudDescription.parse(Path(cloud).read_text())) as engine:
        await (await engine.deploy(WISH)).wait()


def main() -> None:
    database, cloud, *at = sys.argv[1:]
    calls: list[str] = []

    def watch(name: str) -> None:
        calls.append(name)
        if at and len(calls) == int(at[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    Gate.watch = watch
    asyncio.run(deploy(database, cloud))
    print(*calls)


if __name__ == "__main__":
    main()
