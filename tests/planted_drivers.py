"""Drivers with one bug each, planted in wrappers around the simulator: what the kit must catch.

Promises: without its bug each is a driver as it should be; the bug is the whole of its class.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec

from interlock.drivers.protocol import Home
from interlock.drivers.simulator import Simulator
from interlock.schema import commands as c
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Done, Outcome, Refusal, Refused, Scope
from interlock.testing.kits.driver import TURNS

UNDOING = (c.ReleaseNic, c.DeleteVolume, c.StopDomain, c.UnplugNic, c.UnplugVolume)


class Honest:
    """No bug: hands everything on."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.capabilities: Any = simulator.capabilities
        self.number = count(1)

    @classmethod
    async def open(cls, home: Home) -> Honest:
        return cls(await Simulator.open({}, home))

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        await self.simulator.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        return await self.simulator.perform(command, token=token, fence=fence)

    async def close(self) -> None:
        await self.simulator.close()

    async def act(self, command: AnyCommand, fence: int) -> Outcome:
        """Perform something under a token that nobody else has."""
        return await self.simulator.perform(command, token=f"own-{id(self)}-{next(self.number)}", fence=fence)

    async def is_there(self, command: AnyCommand) -> bool:
        """Whether there is something for an undoing command to undo."""
        world = await self.simulator.world()
        return command.subject.split()[1] in {
            *(domain.vm_id for domain in world.domains),
            *(volume.id for volume in world.volumes),
            *(nic.id for nic in world.nics),
        }


class ForgetsTokens(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        return await self.act(command, fence)


class ForgetsTokensWhenClosed(Honest):
    opened = count()

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.life = next(self.opened)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        return await self.simulator.perform(command, token=f"{token}-{self.life}", fence=fence)


class IgnoresFences(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        return await self.simulator.perform(command, token=token, fence=1)


class OwnFences(Honest):
    """No bug yet: keeps fences by itself, in its memory."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.fences: dict[str, int] = {}

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        keys = self.keys(command)
        highest = max((self.fences.get(key, fence) for key in keys), default=fence)
        if highest > fence:
            return Refused(kind=Refusal.PERMANENT, scope=Scope.VM, reason=f"fence {fence} is below {highest}")
        self.note(keys, fence)
        outcome = await self.simulator.perform(command, token=token, fence=1)
        self.answered(keys, fence, outcome)
        return outcome

    def keys(self, command: AnyCommand) -> set[str]:
        return {command.vm_id or command.subject, command.subject}

    def note(self, keys: set[str], fence: int) -> None:
        self.fences.update(dict.fromkeys(keys, fence))

    def answered(self, keys: set[str], fence: int, outcome: Outcome) -> None:
        """Nothing more to note."""


class ForgetsFencesWhenClosed(OwnFences):
    """That memory is all it has."""


class NotesFencesOfDoneOnly(OwnFences):
    def note(self, keys: set[str], fence: int) -> None:
        """Too early, it thinks."""

    def answered(self, keys: set[str], fence: int, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            super().note(keys, fence)


class FencesVmsOnly(OwnFences):
    def keys(self, command: AnyCommand) -> set[str]:
        return {command.vm_id} - {""}


class FencesEverythingTogether(OwnFences):
    def keys(self, command: AnyCommand) -> set[str]:
        return {"all"}


class StartedTwiceBootsTwice(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        domains = (await self.simulator.world()).domains
        outcome = await super().perform(command, token=token, fence=fence)
        if isinstance(command, c.StartDomain) and outcome == Done() and domains:
            fields = {name: getattr(command, name) for name in c.Command.__struct_fields__}
            await self.act(c.RebootDomain(**fields), fence)
        return outcome


class RefusesToUndoNothing(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        if isinstance(command, c.DeleteVolume) and not await self.is_there(command):
            return Refused(kind=Refusal.PERMANENT, scope=Scope.POOL, reason=f"there is no volume {command.volume_id}")
        return await super().perform(command, token=token, fence=fence)


class Raises(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        if isinstance(outcome, Refused):
            raise RuntimeError("the hypervisor said no")
        return outcome


class AnswersNone(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        return None if isinstance(command, c.ReleaseNic) else outcome


class LeaksVolumes(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        if isinstance(command, c.DeleteVolume):
            return Done()
        return await super().perform(command, token=token, fence=fence)


class LeavesAHalf(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        if isinstance(command, c.CreateVolume) and isinstance(outcome, Refused):
            half = msgspec.structs.replace(command.volume, size_mib=1)
            await self.act(msgspec.structs.replace(command, volume=half), fence)
        return outcome


class Blames(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        if isinstance(outcome, Refused) and outcome.scope is Scope.POOL:
            return msgspec.structs.replace(outcome, scope=Scope.HOST)
        return outcome


class NeverKnows(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        if isinstance(outcome, Refused):
            return msgspec.structs.replace(outcome, kind=Refusal.UNKNOWN)
        return outcome


class RefusesWithoutReason(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        return msgspec.structs.replace(outcome, reason="") if isinstance(outcome, Refused) else outcome


class HidesWhatItCan(Honest):
    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.capabilities = simulator.capabilities - {Capability.HOT_PLUG}


class SaysWhatItCanInAList(Honest):
    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.capabilities = ["hot-plug"]


class DoesNotMove(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        if isinstance(command, c.MigrateDomain):
            return Done()
        return await super().perform(command, token=token, fence=fence)


class RebootsWhatIsNotThere(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        return Done() if isinstance(command, c.RebootDomain) else outcome


class LeavesAThread(Honest):
    async def close(self) -> None:
        await super().close()
        self.end = threading.Event()
        threading.Thread(target=self.end.wait, args=(2,), name="left-behind", daemon=True).start()


class LeavesATask(Honest):
    async def close(self) -> None:
        await super().close()
        self.task = asyncio.create_task(asyncio.sleep(60), name="left-behind")


class Lingers(Honest):
    """It answers after more turns of the loop than any call of the kit is left alone: each is cancelled before."""

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        for _ in range(2 * max(TURNS)):
            await asyncio.sleep(0)
        return outcome


class ActsAgainWhenCancelled(Lingers):
    """The effect goes on under a token that is not its own."""

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        try:
            return await super().perform(command, token=token, fence=fence)
        except asyncio.CancelledError:
            await self.act(command, fence)
            raise


class WillNotBeCancelled(Lingers):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        try:
            return await super().perform(command, token=token, fence=fence)
        except asyncio.CancelledError as error:
            raise RuntimeError("not now") from error


class OneAtATime(Honest):
    """It keeps the command where the next one finds it."""

    command: AnyCommand

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        self.command = command
        await asyncio.sleep(0)
        return await super().perform(self.command, token=token, fence=fence)


class NoLock(Honest):
    """Looks whether a token is known, waits, and acts: two of one token meet in between."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.known: set[str] = set()

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        if token in self.known:
            return await super().perform(command, token=token, fence=fence)
        outcome = await self.act(command, fence)
        if isinstance(outcome, Done):
            self.known.add(token)
        return outcome


class StopsAllWhenAttached(Honest):
    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        await super().attach(hosts, pools)
        for domain in (await self.simulator.world()).domains:
            vm, at = domain.vm_id, domain.host_id
            await self.act(c.StopDomain(driver="kit", at=at, vm_id=vm, subject=f"vm {vm}", forced=True), 10_000)


class Hangs(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        if isinstance(command, c.RebootDomain):
            await asyncio.sleep(60)
        return await super().perform(command, token=token, fence=fence)


class CancelsItself(Honest):
    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        if isinstance(command, c.RebootDomain):
            raise asyncio.CancelledError
        return await super().perform(command, token=token, fence=fence)


class LosesItsPlugs(Honest):
    """A guest that is moved comes without the disk that was plugged as it ran: only orders at random show it."""

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Any:
        outcome = await super().perform(command, token=token, fence=fence)
        if isinstance(command, c.MigrateDomain) and outcome == Done():
            about = {"driver": "kit", "at": command.to_host, "vm_id": command.vm_id}
            volume = command.vm_id.replace("vm", "vol") + "-1"
            await self.act(c.UnplugVolume(**about, subject=f"volume {volume}", volume_id=volume), fence)
        return outcome
