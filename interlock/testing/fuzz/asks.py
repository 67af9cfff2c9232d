"""What people ask for, drawn by chance: mostly what a VM in its state can be asked, sometimes what it cannot.

Never looks at rules: what is refused is refused by admission, and costs a draw.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from interlock.schema.cloud import DiskOffering, Network, Zone
from interlock.schema.records import Vm, Volume
from interlock.testing.fuzz.store import MemoryStore

Fields = dict[str, Any]
IN_STATE: dict[str, tuple[str, ...]] = {
    "Allocated": ("start", "start", "scale", "assign", "add-nic", "attach-disk", "destroy", "expunge"),
    "Running": (
        *("stop", "stop", "reboot", "migrate", "destroy", "scale", "secure", "add-nic", "remove-nic"),
        *("set-default-nic", "attach-disk", "detach-disk", "resize-disk"),
    ),
    "Stopped": (
        *("start", "start", "start", "destroy", "scale", "restore", "assign", "expunge"),
        *("add-nic", "remove-nic", "set-default-nic", "attach-disk", "detach-disk", "resize-disk"),
    ),
    "Destroyed": ("recover", "recover", "expunge", "expunge", "detach-disk"),
    "Error": ("expunge",),
}
"""What a VM may be asked, the commoner the more often."""
ANY = tuple(dict.fromkeys(kind for kinds in IN_STATE.values() for kind in kinds))
ODD = 0.03
"""How often something is asked that the state does not allow. Too low: no refusal is seen; too high: all is refused."""
LIVING_MOST = 9
"""VMs that are not expunged. Too few: they do not meet; too many: the small cloud is full, and all is refused."""


class Asks:
    """Draws requests for one cloud."""

    def __init__(self, chance: Random, store: MemoryStore) -> None:
        self._chance, self._store = chance, store

    def draw(self) -> tuple[str, Fields] | None:
        """A kind and the fields of its request; None if nothing came to mind."""
        living = [vm for vm in self._store.records["vm"].values() if vm.state != "Expunged"]
        if len(living) < LIVING_MOST and self._chance.random() < 0.3:
            return "deploy", self._deploy()
        if self._chance.random() < 0.08:
            return self._of_disks()
        if not living:
            return None
        vm: Vm = self._chance.choice(living)
        usual = IN_STATE.get(vm.state, ()) if self._chance.random() >= ODD else ANY
        if not usual:
            return None
        kind = self._chance.choice(usual)
        fields = _FIELDS[kind](self, vm) if kind in _FIELDS else {"vm": vm.id}
        return None if fields is None else (kind, fields)

    def _one(self, name: str) -> Any:
        return self._chance.choice(list(self._store.places[name].values()))

    def _maybe(self, share: float) -> bool:
        return self._chance.random() < share

    def _deploy(self) -> Fields:
        zone: Zone = self._one("zone")
        fields: Fields = {
            "zone": zone.id,
            "account": self._one("account").id,
            "offering": self._one("offering").id,
            "template": self._one("template").id,
        }
        networks = [each for each in self._store.places["network"].values() if each.zone_id == zone.id]
        if self._maybe(0.6):
            chosen = self._chance.sample(networks, self._chance.randint(1, min(2, len(networks))))
            fields["nics"] = [{"network": each.id} for each in chosen]
        if self._maybe(0.4):
            sizes = [1024 * self._chance.randint(1, 4) for _ in range(self._chance.randint(1, 2))]
            fields["data_disks_mib"] = sizes
        if self._maybe(0.3):
            fields["affinity_groups"] = [self._one("affinity_group").id]
        if self._maybe(0.1):
            fields["host"] = self._one("host").id
        if self._maybe(0.15):
            fields["name"] = f"n{self._chance.randint(1, 3)}"
        if self._maybe(0.15):
            fields["start"] = False
        return fields

    def _of_disks(self) -> tuple[str, Fields] | None:
        if self._maybe(0.5):
            offering: DiskOffering = self._one("disk_offering")
            fields: Fields = {"name": "spare", "offering": offering.id, "zone": self._one("zone").id}
            fields["account"] = self._one("account").id
            if offering.size_mib is None:
                fields["size_mib"] = 1024 * self._chance.randint(1, 4)
            return "create-disk", fields
        free = self._disks(None)
        if not free:
            return None
        volume = self._chance.choice(free)
        if self._maybe(0.5):
            return "delete-disk", {"volume": volume.id}
        return "resize-disk", self._sized(volume)

    def _disks(self, vm_id: str | None) -> list[Volume]:
        volumes = self._store.records["volume"].values()
        return [each for each in volumes if each.vm_id == vm_id and each.kind == "DATA" and each.state != "Expunged"]

    def _sized(self, volume: Volume) -> Fields:
        return {"volume": volume.id, "size_mib": 1024 * self._chance.randint(1, 6), "shrink": self._maybe(0.5)}

    def _resize(self, vm: Vm) -> Fields | None:
        disks = self._disks(vm.id)
        return self._sized(self._chance.choice(disks)) if disks else None

    def _attach(self, vm: Vm) -> Fields | None:
        disks = self._disks(None)
        return {"vm": vm.id, "volume": self._chance.choice(disks).id} if disks else None

    def _detach(self, vm: Vm) -> Fields | None:
        disks = self._disks(vm.id)
        return {"volume": self._chance.choice(disks).id} if disks else None

    def _network(self, vm: Vm) -> str:
        networks: list[Network] = [n for n in self._store.places["network"].values() if n.zone_id == vm.zone_id]
        return self._chance.choice(networks).id

    def _start(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "host": self._one("host").id} if self._maybe(0.1) else {"vm": vm.id}

    def _stop(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "forced": self._maybe(0.3)}

    def _migrate(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "host": self._one("host").id} if self._maybe(0.5) else {"vm": vm.id}

    def _scale(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "offering": self._one("offering").id}

    def _restore(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "template": self._one("template").id} if self._maybe(0.3) else {"vm": vm.id}

    def _assign(self, vm: Vm) -> Fields:
        fields = {"vm": vm.id, "account": self._one("account").id}
        return {**fields, "networks": [self._network(vm)]} if self._maybe(0.4) else fields

    def _add_nic(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "nic": {"network": self._network(vm)}}

    def _of_network(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "network": self._network(vm)}


_FIELDS: dict[str, Callable[[Asks, Vm], Fields | None]] = {
    "start": Asks._start,
    "stop": Asks._stop,
    "destroy": Asks._stop,
    "migrate": Asks._migrate,
    "scale": Asks._scale,
    "restore": Asks._restore,
    "assign": Asks._assign,
    "add-nic": Asks._add_nic,
    "remove-nic": Asks._of_network,
    "set-default-nic": Asks._of_network,
    "attach-disk": Asks._attach,
    "detach-disk": Asks._detach,
    "resize-disk": Asks._resize,
}
