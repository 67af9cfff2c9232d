"""What embedders do with VMs: the part of `Engine` that asks for the operations of a VM's life and of its NICs.

Promises: what `Engine` promises. A VM may be named by name or id everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.embed.asks import Asks
from interlock.embed.handle import Handle
from interlock.schema.requests import (
    AddNic,
    AssignVM,
    DeployVM,
    DestroyVM,
    ExpungeVM,
    FollowVM,
    MigrateVM,
    NicRequest,
    RebootVM,
    RecoverVM,
    RemoveNic,
    RestoreVM,
    ScaleVM,
    SecureVM,
    SetDefaultNic,
    StartVM,
    StopVM,
)


class Lifecycle(Asks):
    """Mixed into `Engine`."""

    async def deploy(
        self,
        request: DeployVM,
        *,
        connection: AsyncConnection | None = None,
        actor: str | None = None,
        caller: str | None = None,
    ) -> Handle:
        """Create a VM and, unless `request.start` is false, run it.

        Args and errors: as `submit`.
        """
        return await self.submit(request, connection=connection, actor=actor, caller=caller)

    async def start(self, vm: str) -> Handle:
        """Run a VM, by name or id."""
        return await self.submit(StartVM(vm))

    async def stop(self, vm: str, *, forced: bool = False) -> Handle:
        """Stop a VM, by name or id; forced: pull the plug."""
        return await self.submit(StopVM(vm, forced))

    async def reboot(self, vm: str) -> Handle:
        """Restart the guest of a VM, by name or id."""
        return await self.submit(RebootVM(vm))

    async def destroy(self, vm: str, *, forced: bool = False) -> Handle:
        """Stop a VM if it runs and mark it Destroyed, by name or id."""
        return await self.submit(DestroyVM(vm, forced))

    async def recover(self, vm: str) -> Handle:
        """Bring a Destroyed VM back to Stopped, by name or id."""
        return await self.submit(RecoverVM(vm))

    async def expunge(self, vm: str) -> Handle:
        """End a VM for good, by name or id."""
        return await self.submit(ExpungeVM(vm))

    async def migrate(self, vm: str, host: str | None = None) -> Handle:
        """Move a Running VM, by name or id, to a host, or to any other that fits."""
        return await self.submit(MigrateVM(vm, host))

    async def scale(
        self,
        vm: str,
        offering: str,
        *,
        cpu_cores: int | None = None,
        cpu_mhz: int | None = None,
        memory_mib: int | None = None,
    ) -> Handle:
        """Give a VM, by name or id, another offering; sizes only where that leaves them open."""
        return await self.submit(ScaleVM(vm, offering, cpu_cores, cpu_mhz, memory_mib))

    async def restore(self, vm: str, template: str | None = None) -> Handle:
        """Make the root disk of a Stopped VM, by name or id, anew; what was on it is lost."""
        return await self.submit(RestoreVM(vm, template))

    async def assign(
        self, vm: str, account: str, *, networks: Sequence[str] = (), security_groups: Sequence[str] = ()
    ) -> Handle:
        """Give a Stopped VM, by name or id, to another account; without networks, it is on the default one."""
        return await self.submit(AssignVM(vm, account, tuple(networks), tuple(security_groups)))

    async def add_nic(
        self,
        vm: str,
        network: str,
        *,
        ip_address: str | None = None,
        ip6_address: str | None = None,
        mac_address: str | None = None,
    ) -> Handle:
        """Put a VM, by name or id, on one more network; without addresses the network's guru picks them."""
        return await self.submit(AddNic(vm, NicRequest(network, ip_address, ip6_address, mac_address)))

    async def remove_nic(self, vm: str, network: str) -> Handle:
        """Take a VM, by name or id, off a network that is not its default one."""
        return await self.submit(RemoveNic(vm, network))

    async def set_default_nic(self, vm: str, network: str) -> Handle:
        """Have the default route of a VM, by name or id, go through another of its networks."""
        return await self.submit(SetDefaultNic(vm, network))

    async def secure(self, vm: str) -> Handle:
        """Tell the host of a Running VM, by name or id, the rules of its security groups. Done by itself when they
        change."""
        return await self.submit(SecureVM(vm))

    async def follow(self, vm: str, host: str | None = None) -> Handle:
        """See where a VM, by name or id, really is, and have its record say so. Done by itself when a driver reports
        that something differs.

        Args:
            host: one that it was seen on, which is asked as well.
        """
        return await self.submit(FollowVM(vm, host))
