"""What the inventory leaves out of a shortlist for the places around a host is what the rules refuse, and no more."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.orchestrator.inventory import Inventory
from interlock.planners.rules import why_not
from interlock.schema.cloud import Account, Cluster, Domain, Host, Place, Pod, Zone
from tests.fakes import ZONE, a_demand, a_host

ACCOUNTS = {"ann": "team", "ben": "corp", "eve": "ROOT"}
DOMAINS = {"ROOT": None, "corp": "ROOT", "team": "corp"}


@st.composite
def around(draw: st.DrawFn) -> dict[str, Any]:
    """Of a place: whether it is disabled, and whose it is; mostly neither."""
    whose: list[dict[str, Any]] = [{}, {}, {}, {}]
    whose += [{"dedicated_account_id": each} for each in ACCOUNTS]
    whose += [{"dedicated_domain_id": each} for each in DOMAINS]
    return {"enabled": draw(st.sampled_from([True, True, True, False])), **draw(st.sampled_from(whose))}


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """Two pods of two clusters of two hosts."""
    pods = [Pod(id=f"p{pod}", zone_id=ZONE, **draw(around())) for pod in range(2)]
    kinds = st.sampled_from(["kvm", "xen"])
    clusters = [
        Cluster(id=f"{pod.id}c{each}", zone_id=ZONE, pod_id=pod.id, hypervisor=draw(kinds), **draw(around()))
        for pod in pods
        for each in range(2)
    ]
    hosts = [
        a_host(f"{cluster.id}h{each}", cluster.id, pod_id=cluster.pod_id, **draw(around()))
        for cluster in clusters
        for each in range(2)
    ]
    places: dict[str, list[Place]] = {
        "zone": [Zone(id=ZONE, **draw(around()))],
        "pod": [*pods],
        "cluster": [*clusters],
        "host": [*hosts],
        "account": [Account(id=name, domain_id=domain) for name, domain in ACCOUNTS.items()],
        "domain": [Domain(id=name, parent_id=parent) for name, parent in DOMAINS.items()],
    }
    return Inventory(places)


@given(
    inventory=inventories(),
    account=st.sampled_from([*ACCOUNTS, "unheard of"]),
    hypervisor=st.sampled_from([None, "kvm", "xen"]),
    ignore_disabled=st.booleans(),
    dedicated_only=st.booleans(),
)
def test_a_shortlist_has_the_hosts_that_no_rule_refuses(
    inventory: Inventory, account: str, hypervisor: str | None, ignore_disabled: bool, dedicated_only: bool
) -> None:
    wishes: dict[str, Any] = {"hypervisor": hypervisor, "ignore_disabled": ignore_disabled}
    demand = a_demand(account_id=account, dedicated_only=dedicated_only, **wishes)
    fitting = [host for host in inventory.all(Host) if why_not(host, demand, inventory) is None]
    assert list(inventory.shortlist(demand)) == fitting
