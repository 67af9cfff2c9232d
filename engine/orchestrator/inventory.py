"""The cloud in memory: places, and what of them is held, as planners and the core see it.

What a decision takes is counted here the moment it is decided (`hold`), so that decisions of one batch do not all
choose the same room; it stays counted when the commit wins and is given back when it loses (`drop`). The database has
the last word: figures here only propose. When others have written, they are read again between two commits, and what
is decided but not yet written is counted on top (`reload`).

Address books are read when first needed: `addresses` raises `AddressesNeeded`, the engine loads and asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator.addresses import AddressBook
from interlock.schema.cloud import PLACES, Cluster, Host, Network, Place, Pod, StoragePool, Zone
from interlock.schema.holdings import FREE, Movement

P = TypeVar("P", bound=Place)
_NAME: dict[type[Any], str] = {kind: name for name, kind in PLACES.items()}


class AddressesNeeded(Exception):
    """The address book of a network has not been read yet."""

    def __init__(self, network_id: str) -> None:
        super().__init__(network_id)
        self.network_id = network_id


class Inventory:
    """Implements `Cloud` for the core. Not shared between engines."""

    def __init__(self, places: dict[str, list[Place]]) -> None:
        self._pending: dict[int, Decision] = {}
        self.load(places)

    def load(self, places: dict[str, list[Place]]) -> None:
        """Take places as read; what is held of them must be read again next (`reload`)."""
        self._places: dict[str, dict[str, Any]] = {
            name: {place.id: place for place in places.get(name, [])} for name in PLACES
        }
        self._hosts: dict[str, list[str]] = {}
        self._pools: dict[str, list[str]] = {}
        for host in self._all(Host):
            self._hosts.setdefault(host.zone_id, []).append(host.id)
        for pool in self._all(StoragePool):
            self._pools.setdefault(pool.zone_id, []).append(pool.id)
        self._vms: dict[tuple[str, str], int] = {}
        self._books: dict[str, AddressBook] = {}

    def _all(self, kind: type[P]) -> Iterable[P]:
        return cast(Iterable[P], self._places[_NAME[kind]].values())

    def find(self, kind: type[P], place_id: str) -> P | None:
        """See `Cloud`."""
        return cast("P | None", self._places[_NAME[kind]].get(place_id))

    def ids(self, kind: type[P]) -> tuple[str, ...]:
        """See `Cloud`."""
        return tuple(self._places[_NAME[kind]])

    def hosts(self, zone_id: str) -> Iterable[Host]:
        """See `CloudView`."""
        known = self._places["host"]
        return (known[host_id] for host_id in self._hosts.get(zone_id, ()))

    def pools(self, zone_id: str) -> Iterable[StoragePool]:
        """See `CloudView`."""
        known = self._places["storage_pool"]
        return (known[pool_id] for pool_id in self._pools.get(zone_id, ()))

    def cluster(self, cluster_id: str) -> Cluster:
        """See `CloudView`."""
        return cast(Cluster, self._places["cluster"][cluster_id])

    def enabled(self, host: Host) -> str | None:
        """See `CloudView`."""
        around: tuple[tuple[str, Host | Cluster | Pod | Zone], ...] = (
            ("host", host),
            ("cluster", self._places["cluster"][host.cluster_id]),
            ("pod", self._places["pod"][host.pod_id]),
            ("zone", self._places["zone"][host.zone_id]),
        )
        return next((f"{kind} {place.id} is disabled" for kind, place in around if not place.enabled), None)

    def vms_of(self, account_id: str, host_id: str) -> int:
        """See `CloudView`."""
        return self._vms.get((account_id, host_id), 0)

    def default_network(self, zone_id: str, account_id: str) -> Network | None:
        """See `Cloud`: the account's own default comes before everybody's."""
        fitting = [
            network
            for network in self._all(Network)
            if network.zone_id == zone_id
            and network.is_default
            and network.enabled
            and network.account_id in (None, account_id)
        ]
        return min(fitting, key=lambda network: (network.account_id is None, network.id), default=None)

    def addresses(self, network_id: str) -> AddressBook:
        """See `Cloud`.

        Raises:
            AddressesNeeded: its book has not been read.
        """
        try:
            return self._books[network_id]
        except KeyError:
            raise AddressesNeeded(network_id) from None

    def open_book(self, network_id: str, owned: Iterable[str]) -> None:
        """Keep the addresses that were read as owned, and those that are decided but not written."""
        book = AddressBook(owned)
        self._books[network_id] = book
        for decision in self._pending.values():
            for movement in decision.ledger:
                if movement.thing == "ip" and movement.where.partition("/")[0] == network_id:
                    self._move_address(movement)

    def close_books(self) -> None:
        """Have every address book read again when it is next needed."""
        self._books.clear()

    def hold(self, decision: Decision) -> None:
        """Count what the decision moves."""
        self._pending[id(decision)] = decision
        self._apply(decision)

    def drop(self, decision: Decision) -> None:
        """It was not written: take back what `hold` counted."""
        if self._pending.pop(id(decision), None) is not None:
            for movement in reversed(decision.ledger):
                self._move(_reversed(movement), decision)

    def settle(self, decision: Decision) -> None:
        """It was written: what was counted stays."""
        self._pending.pop(id(decision), None)

    def reload(self, usage: Sequence[Sequence[Any]], vms: Sequence[Sequence[Any]]) -> None:
        """Take figures read between two commits, and count on top what is decided but not written."""
        for kind, place_id, first, second in usage:
            if kind == "host":
                self._replace("host", place_id, cpu_used_mhz=first, memory_used_mib=second)
            else:
                self._replace("storage_pool", place_id, used_mib=first)
        self._vms = {(account_id, host_id): count for host_id, account_id, count in vms}
        self.close_books()
        for decision in self._pending.values():
            self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        for movement in decision.ledger:
            self._move(movement, decision)

    def _move(self, movement: Movement, decision: Decision) -> None:
        sign = 1 if movement.giver == FREE else -1
        if movement.thing == "ip":
            self._move_address(movement)
        elif movement.thing == "cpu":
            host = self._places["host"].get(movement.where)
            self._vms[decision.vm.account_id, movement.where] = (
                self.vms_of(decision.vm.account_id, movement.where) + sign
            )
            self._add("host", host, "cpu_used_mhz", sign * movement.amount)
        elif movement.thing == "memory":
            self._add("host", self._places["host"].get(movement.where), "memory_used_mib", sign * movement.amount)
        elif movement.thing == "space":
            pool = self._places["storage_pool"].get(movement.where)
            self._add("storage_pool", pool, "used_mib", sign * movement.amount)

    def _move_address(self, movement: Movement) -> None:
        network_id, _, address = movement.where.partition("/")
        book = self._books.get(network_id)
        if book is None:
            return
        if movement.giver == FREE:
            book.take(address)
        else:
            book.give_back(address)

    def _add(self, name: str, place: Place | None, column: str, amount: int) -> None:
        if place is not None:
            self._replace(name, place.id, **{column: getattr(place, column) + amount})

    def _replace(self, name: str, place_id: str, **columns: Any) -> None:
        place = self._places[name].get(place_id)
        if place is not None:
            self._places[name][place_id] = msgspec.structs.replace(place, **columns)


def _reversed(movement: Movement) -> Movement:
    return msgspec.structs.replace(movement, giver=movement.taker, taker=movement.giver)
