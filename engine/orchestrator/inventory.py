"""The cloud in memory: places, and what of them is held, as planners and the core see it.

What a decision takes is counted here the moment it is decided (`hold`), so that decisions of one batch do not all
choose the same room; it stays counted when the commit wins and is given back when it loses (`drop`). The database has
the last word: figures here only propose. When others have written, they are read again between two commits, and what
is decided but not yet written is counted on top (`reload`).

Address books are read when first needed: `addresses` raises `AddressesNeeded`, the engine loads and asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar, cast

import msgspec

from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator.addresses import AddressBook
from interlock.engine.orchestrator.books import ADDRESSES, Books
from interlock.engine.orchestrator.hosts import HostIndex, Label, owners
from interlock.engine.orchestrator.recording import Moment
from interlock.engine.orchestrator.surroundings import Surroundings
from interlock.engine.orchestrator.tenancy import Tenancy
from interlock.engine.orchestrator.terms import DISABLED, TermsOf, hypervisor
from interlock.engine.orchestrator.values import Values
from interlock.engine.store.feed import News, Tenant
from interlock.planners.protocol import Demand, Shortlist
from interlock.schema.cloud import (
    PLACES,
    Account,
    Cluster,
    Host,
    Place,
    Pod,
    SecurityGroup,
    SettingValue,
    StoragePool,
    Zone,
)
from interlock.schema.holdings import COUNTERS, FREE, METERED, Movement
from interlock.schema.records import Vm
from interlock.schema.settings import CPU_THRESHOLD, MEMORY_THRESHOLD, POOL_THRESHOLD, Setting, SettingScope, V

P = TypeVar("P", bound=Place)
_NAME: dict[type[Any], str] = {kind: name for name, kind in PLACES.items()}
_COUNTER = {rule.thing: (rule.resource, rule.used) for rule in METERED}
_id = attrgetter("id")


class GroupsNeeded(Exception):
    """Security groups are not known, or only as they were: they must be read."""

    def __init__(self, group_ids: tuple[str, ...]) -> None:
        super().__init__(*group_ids)
        self.group_ids = group_ids


class Inventory:
    """Implements `Cloud` for the core. Not shared between engines."""

    def __init__(self, places: dict[str, list[Place]]) -> None:
        self._pending: dict[int, Decision] = {}
        self.books = Books()
        self.moment = Moment()
        self._places: dict[str, dict[str, Any]] = {"security_group": {}}
        self.load(places)

    def load(self, places: dict[str, list[Place]]) -> None:
        """Take places as read; what is held of them must be read again next (`reload`)."""
        self.moment.lost()
        groups = self._places["security_group"].values()
        # Not as the database sorts: what is chosen must not follow from its collation.
        self._places = {name: {place.id: place for place in sorted(places.get(name, []), key=_id)} for name in PLACES}
        self.put(groups)  # one that was written since the places were read
        self._hosts: dict[str, list[str]] = {}
        self._pools: dict[str, list[str]] = {}
        self._near: dict[tuple[str, str | None], list[str]] = {}
        self._in_cluster: dict[str, list[str]] = {}
        for host in self.all(Host):
            self._hosts.setdefault(host.zone_id, []).append(host.id)
            self._in_cluster.setdefault(host.cluster_id, []).append(host.id)
        for pool in self.all(StoragePool):
            self._pools.setdefault(pool.zone_id, []).append(pool.id)
            owner = {"host": pool.host_id, "cluster": pool.cluster_id}.get(pool.scope, pool.zone_id)
            self._near.setdefault((pool.scope, owner), []).append(pool.id)
        self._around = Surroundings(self._places)
        self._index = HostIndex(self.all(Host), self._labels)
        self._values = Values(self._places["setting"].values())
        self._above = {account.id: self._path(account) for account in self.all(Account)}
        owned = (self.all(Host), self.all(Cluster), self.all(Pod), self.all(Zone))
        self._terms = TermsOf(chain(*owned), self.domains_above)
        self._tenancy = Tenancy()
        self.books.close()

    def _path(self, account: Account) -> tuple[str, ...]:
        found, domain = [], self._places["domain"].get(account.domain_id)
        while domain is not None:
            found.append(domain.id)
            domain = self._places["domain"].get(domain.parent_id)
        return tuple(found)

    # --- places

    def all(self, kind: type[P]) -> Iterable[P]:
        """See `Cloud`."""
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

    def host(self, host_id: str) -> Host | None:
        """See `CloudView`."""
        return cast("Host | None", self._places["host"].get(host_id))

    def shortlist(self, demand: Demand) -> Shortlist:
        """See `CloudView`. Labels only spare planners a look: they ask every rule of each host they take."""
        return self._index.shortlist(demand, self._terms(demand))

    def _labels(self, host: Host) -> Iterable[Label]:
        yield hypervisor(self.cluster(host.cluster_id).hypervisor)
        if self.enabled(host) is not None:
            yield DISABLED
        for _, place in self._around.of(host):
            yield from owners(place)

    def pools(self, zone_id: str) -> Iterable[StoragePool]:
        """See `CloudView`."""
        known = self._places["storage_pool"]
        return (known[pool_id] for pool_id in self._pools.get(zone_id, ()))

    def pool(self, pool_id: str) -> StoragePool | None:
        """See `CloudView`."""
        return cast("StoragePool | None", self._places["storage_pool"].get(pool_id))

    def pools_near(self, scope: str, owner_id: str) -> Iterable[StoragePool]:
        """See `CloudView`."""
        known = self._places["storage_pool"]
        return [known[pool_id] for pool_id in self._near.get((scope, owner_id), ())]

    def cluster(self, cluster_id: str) -> Cluster:
        """See `CloudView`."""
        return cast(Cluster, self._places["cluster"][cluster_id])

    def enabled(self, host: Host) -> str | None:
        """See `CloudView`."""
        return self._around.disabled[host.id]

    # --- whose it is

    def domains_above(self, account_id: str) -> tuple[str, ...]:
        """See `Cloud`."""
        return self._above.get(account_id, ())

    def dedicated_to_others(self, host: Host, account_id: str) -> str | None:
        """See `CloudView`."""
        for kind, place in self._around.dedicated[host.id]:
            if not self._is_for(place, account_id):
                to = place.dedicated_account_id or place.dedicated_domain_id
                whose = "account" if place.dedicated_account_id else "domain"
                return f"{kind} {place.id} is dedicated to {whose} {to}"
        return None

    def dedicated_to(self, host: Host, account_id: str) -> bool:
        """See `CloudView`."""
        return any(self._is_for(place, account_id) for _, place in self._around.dedicated[host.id])

    def _is_for(self, place: Host | Cluster | Pod | Zone, account_id: str) -> bool:
        if place.dedicated_account_id is not None:
            return place.dedicated_account_id == account_id
        return place.dedicated_domain_id in self.domains_above(account_id)

    # --- settings

    def set_values(self, rows: Iterable[SettingValue]) -> None:
        """Take the settings as they have just been read."""
        self._places["setting"] = {row.id: row for row in rows}
        self._values = Values(self._places["setting"].values())

    def setting(self, setting: Setting[V], *places: tuple[SettingScope, str]) -> V:
        """See `Cloud`."""
        return self._values.value(setting, places)

    def over_threshold(self, cluster_id: str, cpu_mhz: int, memory_mib: int) -> str | None:
        """See `CloudView`."""
        cluster = self.cluster(cluster_id)
        where = ((SettingScope.CLUSTER, cluster_id), (SettingScope.ZONE, cluster.zone_id))
        for setting, more, total, used in (
            (CPU_THRESHOLD, cpu_mhz, "cpu_mhz", "cpu_used_mhz"),
            (MEMORY_THRESHOLD, memory_mib, "memory_mib", "memory_used_mib"),
        ):
            share = self.setting(setting, *where)
            if share < 1.0:
                hosts = [self._places["host"][host_id] for host_id in self._in_cluster[cluster_id]]
                most = int(share * sum(getattr(host, total) for host in hosts))
                held = sum(getattr(host, used) for host in hosts)
                if held + more > most:
                    what = f"{held} of {most} {total.rpartition('_')[2]} are allocated, {more} more wanted"
                    return f"cluster {cluster_id} is over its threshold: {what} ({setting.name})"
        return None

    def pool_most_mib(self, pool: StoragePool) -> int:
        """See `CloudView`."""
        share = self.setting(POOL_THRESHOLD, (SettingScope.POOL, pool.id), (SettingScope.ZONE, pool.zone_id))
        return int(pool.size_mib * pool.overcommit * share)

    # --- who is where

    def vms_of(self, account_id: str, host_id: str) -> int:
        """See `CloudView`."""
        return self._tenancy.hosts_of(account_id).get(host_id, 0)

    def hosts_of(self, account_id: str) -> Mapping[str, int]:
        """See `CloudView`."""
        return self._tenancy.hosts_of(account_id)

    def tenants(self, host_id: str) -> Mapping[str, int]:
        """See `CloudView`."""
        return self._tenancy.tenants(host_id)

    def planners_on(self, host_id: str) -> Mapping[str, int]:
        """See `CloudView`."""
        return self._tenancy.planners_on(host_id)

    def hosts_of_group(self, group_id: str) -> Mapping[str, int]:
        """See `Cloud`."""
        return self._tenancy.hosts_of_group(group_id)

    # --- addresses

    def addresses(self, network_id: str) -> AddressBook:
        """See `Cloud`.

        Raises:
            AddressesNeeded: its book has not been read.
        """
        return self.books[network_id]

    def open_book(self, network_id: str, owned: Iterable[str]) -> None:
        """Keep the addresses that were read as owned, and those that are decided but not written."""
        self.books.open(network_id, owned, self._pending.values())

    # --- security groups

    def groups(self, group_ids: tuple[str, ...], version: int) -> tuple[SecurityGroup, ...]:
        """See `Cloud`.

        Raises:
            GroupsNeeded: somebody else has made or changed some of them.
        """
        known = self._places["security_group"]
        found = tuple(known[group_id] for group_id in group_ids if group_id in known)
        if len(found) < len(group_ids) or max((group.version for group in found), default=version) < version:
            raise GroupsNeeded(group_ids)
        return found

    @property
    def newest(self) -> int:
        """The highest version of a security group that is known here."""
        return max((group.version for group in self.all(SecurityGroup)), default=0)

    def behind(self, vm: Vm) -> bool:
        """Whether the VM holds a host that was not told the present rules, as far as is known here."""
        known = self._places["security_group"]
        newest = max((known[group_id].version for group_id in vm.security_groups if group_id in known), default=0)
        return vm.host_id is not None and vm.rules_told < newest

    # --- what decisions move

    def hold(self, decision: Decision) -> None:
        """Count what the decision moves."""
        self._pending[id(decision)] = decision
        self.moment.count(decision)
        self._apply(decision)

    def drop(self, decision: Decision) -> None:
        """It was not written: take back what `hold` counted."""
        if self._pending.pop(id(decision), None) is not None:
            self.moment.count(decision)
            self._apply(decision, -1)

    def settle(self, decision: Decision) -> None:
        """It was written: what was counted stays."""
        if self._pending.pop(id(decision), None) is not None:
            self.moment.wrote(decision)
        for group in decision.groups:
            # Not before: a group that was not written would be believed to be there.
            self._places["security_group"].setdefault(group.id, group)

    def put(self, groups: Iterable[SecurityGroup]) -> None:
        """Take security groups as they have been read or written; what is known to be newer stays."""
        known = self._places["security_group"]
        for group in groups:
            if group.id not in known or known[group.id].version <= group.version:
                known[group.id] = group

    def reload(
        self, usage: Sequence[Sequence[Any]], vms: Sequence[Sequence[Any]], head: Sequence[Sequence[Any]]
    ) -> None:
        """Take figures read between two commits, and count on top what is decided but not written."""
        self.moment.read(int(head[0][0]), self._pending.values())
        for name, place_id, *figures in usage:
            read = dict(zip(COUNTERS[name], figures, strict=False))
            known = self._places[name].get(place_id)
            # Most are as they were: to compare them costs a tenth of what it costs to replace one.
            if read != {column: getattr(known, column, None) for column in read}:
                self._replace(name, place_id, **read)
        self._tenancy = Tenancy()
        self._index.forget_words()
        for host_id, account_id, planner, groups, number in vms:
            self._tenancy.count(host_id, account_id, planner, msgspec.json.decode(groups, type=tuple[str, ...]), number)
        self.books.close()
        for decision in self._pending.values():
            self._apply(decision)

    def follow(self, news: News) -> None:
        """Count what others have written."""
        waiting = self._pending.values()
        self._count(
            (each.movement, each.vm) for each in news.moved if not self.books.is_contested(each.movement, waiting)
        )
        self.moment.read(news.head, self._pending.values())

    def _apply(self, decision: Decision, sign: int = 1) -> None:
        """Count what it moves; with sign −1 take all back, the last first."""
        if ledger := decision.ledger[::sign]:
            self._count([(movement, decision.vm) for movement in ledger], sign)

    def _count(self, moved: Iterable[tuple[Movement, Vm | Tenant | None]], sign: int = 1) -> None:
        """Count movements, each place once, and the VMs that come to hosts by them or leave."""
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for movement, vm in moved:
            taking = sign if movement.giver == FREE else -sign
            if movement.thing in ADDRESSES:
                self.books.move(movement, taking > 0)
            elif movement.thing in _COUNTER:
                name, column = _COUNTER[movement.thing]
                columns = sums.setdefault((name, movement.where), {})
                columns[column] = columns.get(column, 0) + taking * movement.amount
            if movement.thing == "cpu" and vm is not None:
                self._tenancy.count(movement.where, vm.account_id, vm.planner, vm.affinity_groups, taking)
        for (name, place_id), columns in sums.items():
            self._add(name, place_id, columns)
            if name == "account":  # what an account has, its domain and all above it have
                for domain_id in self.domains_above(place_id):
                    self._add("domain", domain_id, columns)

    def _add(self, name: str, place_id: str, columns: Mapping[str, int]) -> None:
        place = self._places[name].get(place_id)
        if place is not None:
            self._replace(name, place_id, **{column: getattr(place, column) + more for column, more in columns.items()})

    def _replace(self, name: str, place_id: str, **columns: Any) -> None:
        place = self._places[name].get(place_id)
        if place is not None:
            self._places[name][place_id] = changed = msgspec.structs.replace(place, **columns)
            if name == "host":
                self._index.replace(changed)
