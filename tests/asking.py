"""Clouds in memory, built of records, and the core asked over them: what a request becomes, or the words it is refused
with.

`a_cloud` is a small one in which `a_vm` is accepted; places that are given to it join those, or replace those of the
same id. `ask` decides as an engine would, with no database, driver or clock.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from interlock import DeployVM
from interlock.engine.core.decide import decide
from interlock.engine.core.decision import Decision
from interlock.engine.core.events import Requested
from interlock.engine.core.snapshot import Policy, Rules, Snapshot
from interlock.engine.orchestrator.inventory import Inventory
from interlock.planners.first_fit import FirstFit
from interlock.planners.gurus.direct import DirectGuru
from interlock.schema.cloud import (
    PLACES,
    Account,
    Cluster,
    DiskOffering,
    Domain,
    Network,
    Offering,
    Place,
    Pod,
    SettingValue,
    Template,
    Zone,
)
from interlock.schema.commands import Capability
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import Request
from interlock.schema.settings import GLOBAL, Setting, SettingScope, identity
from tests.fakes import a_host, a_network, a_pool

RULES = Rules(
    policy=Policy(),
    planners={"first-fit": FirstFit(), "other": FirstFit()},
    gurus={"direct": DirectGuru()},
    capabilities={"simulator": frozenset(Capability), "bare": frozenset()},
)
"""Two planners; a driver that can everything, and one that can nothing beyond running VMs."""

FILTERS = {"SecurityGroup": "Provider", "UserData": "Provider"}
"""The services of a network that filters."""

BASE: tuple[Place, ...] = (
    Domain(id="ROOT", parent_id=None),
    Domain(id="customers", parent_id="ROOT"),
    Domain(id="acme-corp", parent_id="customers"),
    Domain(id="others", parent_id="ROOT"),
    Account(id="system", role="admin"),
    Account(id="boss", domain_id="customers", role="domain-admin"),
    Account(id="acme", domain_id="acme-corp"),
    Account(id="rival", domain_id="others"),
    Zone(id="z"),
    Pod(id="p1", zone_id="z"),
    Cluster(id="c1", zone_id="z", pod_id="p1"),
    a_host("h1", cpu=8000, memory=8192),
    a_pool("nfs", 1_000_000),
    a_pool("h1-local", 1_000_000, host_id="h1"),
    a_network("net", is_default=True),
    Offering(id="small", cpu_cores=1, cpu_mhz=1000, memory_mib=1024),
    Offering(id="custom", cores_least=2, cores_most=4, mhz_least=500, mhz_most=3000, memory_most_mib=4096),
    DiskOffering(id="data", size_mib=5000),
    DiskOffering(id="open"),
    Template(id="t", size_mib=100),
)
"""Domains: ROOT above customers above acme-corp, and above others."""


def a_cloud(*places: Place) -> Inventory:
    """The base, with these places in it."""
    found = {(type(place), place.id): place for place in (*BASE, *places)}
    rows: dict[str, list[Place]] = {
        name: sorted((place for (kind, _), place in found.items() if kind is table), key=lambda place: place.id)
        for name, table in PLACES.items()
    }
    cloud = Inventory(rows)
    for network in cloud.all(Network):
        cloud.open_book(network.id, ())
    return cloud


def but(kind: type[Any], place_id: str, /, **fields: Any) -> Any:
    """A place of the base, changed."""
    return next(
        msgspec.structs.replace(place, **fields) for place in BASE if type(place) is kind and place.id == place_id
    )


def a_setting(setting: Setting[Any], value: Any, scope: SettingScope = GLOBAL, place: str | None = None) -> Place:
    """A setting with a value."""
    text = msgspec.json.encode(value).decode()
    return SettingValue(
        id=identity(setting.name, scope, place), name=setting.name, scope=scope, place_id=place, value=text
    )


def a_vm(**wishes: Any) -> DeployVM:
    """A small VM of account acme, as wished."""
    return DeployVM(**{"name": "web", "account": "acme", "offering": "small", "template": "t", **wishes})


def ask(
    cloud: Inventory,
    request: Request | None = None,
    /,
    caller: str | None = None,
    rules: Rules = RULES,
    operation: str = "op",
    of: Decision | None = None,
    **wishes: Any,
) -> Decision:
    """What the core decides: about `request`, or a VM as wished; `of`: on the VM that decision left.

    Raises:
        InvalidRequest: a rule refuses.
    """
    ids = (operation, "vm-1", *(f"{operation}-{number}" for number in range(200)))
    event = Requested(at=1_000_000, request=request or a_vm(**wishes), actor="test", caller_id=caller, ids=ids)
    snapshot = Snapshot(cloud=cloud, vm=of.vm, nics=of.nics, volumes=of.volumes) if of else Snapshot(cloud=cloud)
    return decide(snapshot, event, rules)


def accepts(cloud: Inventory, request: Request | None = None, /, **how: Any) -> bool:
    """Whether it is not refused."""
    try:
        ask(cloud, request, **how)
    except InvalidRequest:
        return False
    return True


def refuses(
    error: type[InvalidRequest], words: str, cloud: Inventory, request: Request | None = None, /, **how: Any
) -> None:
    """It is refused with this very type of error, and these words in it."""
    with pytest.raises(InvalidRequest) as raised:
        ask(cloud, request, **how)
    assert words in str(raised.value)
    assert type(raised.value) is error
