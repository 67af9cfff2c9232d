"""What people ask for, drawn by chance: mostly what a VM in its state can be asked, sometimes what it cannot.

Never looks at rules: what is refused is refused by admission, and costs a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from interlock.engine.store.memory import MemoryStore
from interlock.schema.cloud import DiskOffering, Host, Network, Offering, Zone
from interlock.schema.records import Nic, Vm, Volume
from interlock.testing.fuzz.kinds import IN_STATE, KINDS_ASKED, LEADS_TO
from interlock.testing.fuzz.mix import Mix

T = TypeVar("T")
Fields = dict[str, Any]
ODD = 0.06
"""How often something is asked that the state does not allow. Too low: no refusal is seen; too high: all is refused."""
LIVING_MOST = 7
"""VMs that are not expunged. Too few: they do not meet; too many: runs are nothing but deploys."""
SEIZED = 0.4
"""How often a rare opportunity is seized. Too low: it passes; too high: nothing else becomes of such VMs."""
FOLLOWED = (0.4, 0.8)
"""How often somebody follows a guest that is not where commands have put it; and where that is a favourite."""
IN_TURN = 0.4
"""How often the kind whose turn it is is asked of any VM whose state allows it, before a VM is drawn. Too low: it
depends on the VM, and is seldom met; too high: nothing brings VMs to where they can be asked it."""
WANTED = 0.8
"""The same, where the end of such a VM is what the run is about."""
SENSIBLE = 0.85
"""How often a wish is one that a rule may grant, where that is easily told."""


class Asks:
    """Draws requests for one cloud.

    Args:
        chance: where draws come from.
        store: what there is.
        mix: what is asked for whenever it can be, and how large VMs are.
        astray: guests that are not where commands have put them, each with a host that has it, if one does.
    """

    def __init__(
        self, chance: Random, store: MemoryStore, mix: Mix, astray: Callable[[], list[tuple[str, str]]]
    ) -> None:
        self._chance, self._store, self._mix, self._astray = chance, store, mix, astray
        self._favourites = mix.favourites

    def draw(self) -> tuple[str, Fields] | None:
        """A kind and the fields of its request; None if nothing came to mind."""
        living = [vm for vm in self._store.records["vm"].values() if vm.state != "Expunged"]
        if len(living) < LIVING_MOST and self._maybe(0.7 if len(living) < 3 else 0.12):
            return "deploy", self._deploy()
        if self._chance.random() < 0.12:
            return self._of_disks()
        if not living:
            return None
        if (chosen := self._seen_astray() or self._unusual() or self._in_turn(living)) is not None:
            return chosen
        vm: Vm = self._chance.choice(living)
        usual = IN_STATE.get(vm.state, ()) if self._chance.random() >= ODD else KINDS_ASKED
        usual = tuple(kind for kind in usual if self._likes(kind) and self._maybe(0.7)) or usual
        if not usual:
            return None
        return self._of(self._chance.choice(usual), vm)

    def _seen_astray(self) -> tuple[str, Fields] | None:
        """What a report of a host would have asked for."""
        guests = self._astray()
        if not guests or not self._maybe(FOLLOWED["follow" in self._favourites]):
            return None
        guest, host = self._chance.choice(guests)
        vm: Vm | None = self._store.records["vm"].get(guest)
        if vm is not None and vm.state == "Unknown" and self._maybe(0.3):
            return self._chance.choice(["stop", "destroy"]), {"vm": guest}
        if guest in self._store.records["vm"]:
            return "follow", {"vm": guest, "host": host or None}
        return "evict", {"guest": guest, "host": host}

    def _unusual(self) -> tuple[str, Fields] | None:
        """What comes about only if it is seized: a VM that never ran and has a disk with data, and its end."""
        wanted = self._favourites[:1] == ("expunge",)
        if not self._maybe(WANTED if wanted else SEIZED):
            return None
        for vm in self._store.records["vm"].values():
            if vm.state != "Allocated":
                continue
            if self._has_data(vm):
                return "expunge", {"vm": vm.id}
            whose = (vm.zone_id, vm.account_id, "Ready")
            free = [each.id for each in self._disks(None) if (each.zone_id, each.account_id, each.state) == whose]
            if free:
                return "attach-disk", {"vm": vm.id, "volume": self._chance.choice(free)}
            if wanted and (taken := self._of_who_runs(whose)):
                return "detach-disk", {"volume": self._chance.choice(taken)}
        return None

    def _of_who_runs(self, whose: tuple[str, str, str]) -> list[str]:
        """The disks of one owner that a running VM could give up."""
        running = [vm.id for vm in self._store.records["vm"].values() if vm.state == "Running"]
        disks = (each for vm_id in running for each in self._disks(vm_id))
        return [each.id for each in disks if (each.zone_id, each.account_id, each.state) == whose]

    def _in_turn(self, living: list[Vm]) -> tuple[str, Fields] | None:
        """The first favourite, of any VM that can be asked that."""
        kind = self._favourites[0] if self._favourites else "follow"
        if kind == "follow" or not self._maybe(IN_TURN):
            return None
        able = [vm for vm in living if kind in IN_STATE.get(vm.state, ())]
        if kind == "expunge":
            able = [vm for vm in able if self._has_data(vm) or vm.state != "Allocated"]
        drawn = (self._of(kind, vm) for vm in self._chance.sample(able, len(able)))
        return next((each for each in drawn if each is not None), None)

    def _has_data(self, vm: Vm) -> bool:
        """There is something to delete."""
        parts = self._store.parts.get(vm.id, {}).values()
        return any(isinstance(part, Volume) and part.state in ("Ready", "Destroy") for part in parts)

    def _of(self, kind: str, vm: Vm) -> tuple[str, Fields] | None:
        fields = _FIELDS[kind](self, vm) if kind in _FIELDS else {"vm": vm.id}
        return None if fields is None else (kind, fields)

    def _likes(self, kind: str) -> bool:
        """It is a favourite, or leads to one. Who is not astray has nothing to tell to those who follow it."""
        leads = any(LEADS_TO.get(each) == kind for each in self._favourites)
        return kind != "follow" and (kind in self._favourites or leads)

    def _one(self, name: str) -> Any:
        return self._chance.choice(self._all(name))

    def _maybe(self, share: float) -> bool:
        return self._chance.random() < share

    def _sensibly(self, all_: Sequence[T], sensible: Callable[[T], bool]) -> T:
        """One that is sensible, mostly, if there is one."""
        good = [each for each in all_ if sensible(each)] if self._maybe(SENSIBLE) else []
        return self._chance.choice(good or all_)

    def _host(self, zone_id: str) -> str:
        return self._sensibly(self._all("host"), lambda host: bool(host.zone_id == zone_id)).id  # type: ignore[no-any-return]

    def _neighbour(self, vm: Vm) -> str:
        """Another host that reaches its disks."""
        hosts: list[Host] = self._all("host")
        clusters = {host.cluster_id for host in hosts if host.id == vm.host_id}
        return self._sensibly(hosts, lambda host: host.cluster_id in clusters and host.id != vm.host_id).id

    def _all(self, name: str) -> list[Any]:
        return list(self._store.places[name].values())

    def _deploy(self) -> Fields:
        light = self._maybe(self._mix.light)
        zone: Zone = self._all("zone")[1 if not light and self._maybe(0.2) else 0]
        fields: Fields = {
            "zone": zone.id,
            "account": self._one("account").id,
            "offering": self._offering(light).id,
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
            fields["host"] = self._host(zone.id)
        if self._maybe(0.15):
            fields["name"] = f"n{self._chance.randint(1, 3)}"
        if self._maybe(self._mix.unstarted):
            fields["start"] = False
        return fields

    def _offering(self, light: bool) -> Offering:
        offerings: list[Offering] = self._all("offering")
        return min(offerings, key=lambda each: each.memory_mib or 0) if light else self._chance.choice(offerings)

    def _of_disks(self) -> tuple[str, Fields] | None:
        if self._maybe(0.5):
            offering: DiskOffering = self._one("disk_offering")
            fields: Fields = {"name": "spare", "offering": offering.id, **self._whose()}
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

    def _whose(self) -> Fields:
        """A zone and an account: those of a VM that may want the disk, mostly."""
        vms = [vm for vm in self._store.records["vm"].values() if vm.state in ("Running", "Stopped")]
        if not vms or not self._maybe(SENSIBLE):
            return {"zone": self._one("zone").id, "account": self._one("account").id}
        vm: Vm = self._chance.choice(vms)
        return {"zone": vm.zone_id, "account": vm.account_id}

    def _disks(self, vm_id: str | None) -> list[Volume]:
        volumes = self._store.records["volume"].values()
        return [each for each in volumes if each.vm_id == vm_id and each.kind == "DATA" and each.state != "Expunged"]

    def _sized(self, volume: Volume) -> Fields:
        sizes = range(1024, 7 * 1024, 1024)
        size = self._sensibly(sizes, lambda each: each != volume.size_mib)
        return {"volume": volume.id, "size_mib": size, "shrink": size < volume.size_mib and self._maybe(SENSIBLE)}

    def _resize(self, vm: Vm) -> Fields | None:
        disks = self._disks(vm.id)
        return self._sized(self._chance.choice(disks)) if disks else None

    def _attach(self, vm: Vm) -> Fields | None:
        disks = self._disks(None)
        if not disks:
            return None
        whose = (vm.zone_id, vm.account_id)
        return {"vm": vm.id, "volume": self._sensibly(disks, lambda each: (each.zone_id, each.account_id) == whose).id}

    def _detach(self, vm: Vm) -> Fields | None:
        disks = self._disks(vm.id)
        return {"volume": self._chance.choice(disks).id} if disks else None

    def _network(self, vm: Vm, *, on: bool) -> str:
        """One that the VM is on, and not by its default NIC; or one that it is not on."""
        networks: list[Network] = [each for each in self._all("network") if each.zone_id == vm.zone_id]
        nics = {each.network_id: each for each in self._store.parts.get(vm.id, {}).values() if isinstance(each, Nic)}
        if on:
            return self._sensibly(networks, lambda each: each.id in nics and not nics[each.id].is_default).id
        return self._sensibly(networks, lambda each: each.id not in nics).id

    def _start(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "host": self._host(vm.zone_id)} if self._maybe(0.1) else {"vm": vm.id}

    def _stop(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "forced": self._maybe(0.3)}

    def _migrate(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "host": self._neighbour(vm)} if self._maybe(0.3) else {"vm": vm.id}

    def _scale(self, vm: Vm) -> Fields:
        return {
            "vm": vm.id,
            "offering": self._sensibly(self._all("offering"), lambda o: bool(o.id != vm.offering_id)).id,
        }

    def _restore(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "template": self._one("template").id} if self._maybe(0.3) else {"vm": vm.id}

    def _assign(self, vm: Vm) -> Fields:
        fields = {"vm": vm.id, "account": self._one("account").id}
        return {**fields, "networks": [self._network(vm, on=self._maybe(0.5))]} if self._maybe(0.4) else fields

    def _add_nic(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "nic": {"network": self._network(vm, on=False)}}

    def _of_network(self, vm: Vm) -> Fields:
        return {"vm": vm.id, "network": self._network(vm, on=True)}


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
