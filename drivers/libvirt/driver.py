"""The libvirt driver: the `Driver` protocol over connections to libvirt.

What befalls a command, in this order:

    its subject's turn         two commands about one thing never overlap, also if the first was cancelled
    the registry               its fence is noted, and refused if it is too low; its token is Done, or is not
    a capability is lacking    refused
    its handler                what it does is in the file it is named after; the domain's own fence is looked at there
    the registry               what was Done is remembered

Promises: never raises for what the world did. Cancelling `perform` leaves the work going on to its end, and the same
token then waits for that. `close` waits for what is under way; no task and no thread is left, but a thread that hangs
inside libvirt, until keepalive ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

from interlock.drivers.libvirt import guests, migration, nics, options, plugs, starting, volumes
from interlock.drivers.libvirt.boundary import lib
from interlock.drivers.libvirt.gate import DEED, Deed
from interlock.drivers.libvirt.hearing import Hearing
from interlock.drivers.libvirt.link import Trouble
from interlock.drivers.libvirt.options import Options
from interlock.drivers.libvirt.places import Places
from interlock.drivers.libvirt.refusals import DONE, Refuse
from interlock.drivers.libvirt.registry import Registry
from interlock.drivers.libvirt.seal import Seal
from interlock.drivers.libvirt.threads import in_thread
from interlock.drivers.protocol import Home, Tell
from interlock.schema import commands as c
from interlock.schema.cloud import Host, StoragePool
from interlock.schema.commands import AnyCommand, Capability, Done, Outcome, Refused, Scope
from interlock.schema.errors import EngineClosed
from interlock.schema.reports import HostReport

NEEDS: Mapping[type[c.Command], Capability] = {
    c.ApplyRules: Capability.SECURITY_GROUPS,
    c.MigrateDomain: Capability.LIVE_MIGRATION,
    c.ScaleDomain: Capability.LIVE_SCALE,
    c.PlugNic: Capability.HOT_PLUG,
    c.PlugVolume: Capability.HOT_PLUG,
    c.QuarantineDomain: Capability.QUARANTINE,
}
"""What commands need; beside these a linked clone, and rules at the start."""
ABLE = frozenset(Capability) - {Capability.LIVE_SCALE}
ABLE_AS_TEST = frozenset({Capability.QUARANTINE})
"""Of libvirt's own mock."""


class Libvirt:
    """A driver for hosts that libvirt speaks to. Made by `open`."""

    def __init__(self, options_: Options, registry: Registry) -> None:
        self.capabilities = ABLE_AS_TEST if _is_mock(options_) else ABLE
        """What its hypervisors can; never changes."""
        self.told_progress: volumes.Told = lambda progress: None
        """Called on the event loop with how far a copy is."""
        self._options, self._registry = options_, registry
        self._hearing = Hearing()
        self._places = Places(options_, registry, self._hearing.of)
        self._places.refilter = partial(starting.refilter, self._places)
        self._hearing.places = self._places
        self._turns: dict[str, _Turn] = {}
        self._work: set[asyncio.Task[Outcome]] = set()
        self._closed = False

    @classmethod
    async def open(cls, options_: Mapping[str, Any], home: Home) -> Self:
        """Make one as the cloud description says; no host is connected to before it is needed.

        Raises:
            PluginError: an option is unknown or wrong, or libvirt-python is not installed.
            StoreError: the registry's file cannot be used.
        """
        read = options.read(options_)
        lib()
        return cls(read, await in_thread(partial(Registry, options.registry_file(read, home))))

    # The protocol

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        """Learn of hosts and pools; see `drivers/protocol.py`."""
        self._require_open()
        self._places.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        """Carry out one command; see `drivers/protocol.py`."""
        self._require_open()
        self._hearing.know(command.vm_id)
        name = f"interlock-libvirt {type(command).__name__} {command.subject}"
        task = asyncio.create_task(self._in_turn(command, Seal(token, fence)), name=name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    def listen(self, tell: Tell) -> Callable[[], None]:
        """Tell somebody what happens that no command asked for; see `drivers/protocol.py`."""
        return self._hearing.listen(tell)

    async def survey(self) -> Sequence[HostReport]:
        """What the hosts have; those that do not answer are left out."""
        self._require_open()
        return await self._hearing.survey()

    async def close(self) -> None:
        """Finish what is under way and let go of all connections; once more does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._work:
            await asyncio.wait(self._work)
        await self._hearing.close()
        await asyncio.gather(*(site.link.close() for site in self._places.sites.values()))
        self._registry.close()

    def _require_open(self) -> None:
        if self._closed:
            raise EngineClosed("driver libvirt is closed")

    # What befalls a command

    async def _in_turn(self, command: AnyCommand, seal: Seal) -> Outcome:
        async with self._turn(command.subject):
            entities = [*([f"vm {command.vm_id}"] if command.vm_id else []), command.subject]
            gist = f"{type(command).__name__} {command.at} {command.subject}"
            late, before = await in_thread(partial(self._registry.arrive, entities, seal.fence, seal.token))
            if before is not None:
                return DONE if before == gist else _other_use(seal, before)
            if late:
                return Refused(kind=c.Refusal.PERMANENT, scope=Scope.VM, reason=late)
            outcome = _incapable(command, self.capabilities) or await self._outcome(command, seal)
            if isinstance(outcome, Done) and not isinstance(command, c.LookForDomain):
                await in_thread(partial(self._registry.done, seal.token, gist))
            return outcome

    async def _outcome(self, command: AnyCommand, seal: Seal) -> Outcome:
        deed = Deed()
        DEED.set(deed)  # of this task, which is the command's own
        try:
            return await self._carry_out(command, seal)
        except Refuse as refuse:
            return refuse.answer
        except Trouble as trouble:
            scope = Scope.POOL if isinstance(command, c.AtPool) else Scope.HOST
            happened = trouble.kind is c.Refusal.TRANSIENT and deed.touched and not trouble.undone
            kind = c.Refusal.UNKNOWN if happened else trouble.kind
            return Refused(kind=kind, scope=scope, reason=f"{command.at}: {trouble.reason}")

    async def _carry_out(self, command: AnyCommand, seal: Seal) -> Outcome:
        places = self._places
        match command:
            case c.PrepareNic():
                return await nics.prepare_nic(places, command)
            case c.ReleaseNic():
                return await nics.release_nic(places, command)
            case c.CreateVolume():
                return await volumes.create_volume(places, command, self.told_progress)
            case c.DeleteVolume():
                return await volumes.delete_volume(places, command)
            case c.ResizeVolume():
                return await volumes.resize_volume(places, command)
            case _:
                return await self._about_guest(command, seal)

    async def _about_guest(self, command: AnyCommand, seal: Seal) -> Outcome:
        handler: Callable[..., Any] = OF_GUESTS[type(command)]
        outcome: Outcome = await handler(self._places, command, seal)
        return outcome

    @asynccontextmanager
    async def _turn(self, subject: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(subject, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                self._turns.pop(subject, None)


OF_GUESTS: Mapping[type[c.Command], Callable[..., Any]] = {
    c.StartDomain: starting.start_domain,
    c.StopDomain: guests.stop_domain,
    c.RebootDomain: guests.reboot_domain,
    c.MigrateDomain: migration.migrate_domain,
    c.PlugNic: plugs.plug_nic,
    c.UnplugNic: plugs.unplug_nic,
    c.PlugVolume: plugs.plug_volume,
    c.UnplugVolume: plugs.unplug_volume,
    c.ApplyRules: starting.apply_rules,
    c.LookForDomain: guests.look_for_domain,
    c.QuarantineDomain: guests.quarantine_domain,
}
"""Who carries out what; ScaleDomain needs a capability that is lacking."""


class _Turn:
    """Of one subject; kept only while there are commands about it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


def _is_mock(options: Options) -> bool:
    uris = [each.uri for each in options.hosts.values()] + ([options.uri] if options.uri else [])
    return any(uri.startswith("test:") for uri in uris)


def _incapable(command: AnyCommand, capabilities: frozenset[Capability]) -> Refused | None:
    """The command needs a capability that is not among these."""
    needed = NEEDS.get(type(command))
    if isinstance(command, c.CreateVolume) and command.volume.clone == "linked":
        needed = Capability.LINKED_CLONE
    elif isinstance(command, c.StartDomain) and command.rules is not None:
        needed = Capability.SECURITY_GROUPS
    if needed is None or needed in capabilities:
        return None
    reason = f"{type(command).__name__} needs {needed}, which this hypervisor cannot; leave it out"
    return Refused(kind=c.Refusal.PERMANENT, scope=Scope.VM, reason=reason)


def _other_use(seal: Seal, before: str) -> Refused:
    reason = f"token {seal.token} was already used for {before}; each effect needs its own"
    return Refused(kind=c.Refusal.PERMANENT, scope=Scope.VM, reason=reason)
