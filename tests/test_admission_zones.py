"""Where a VM may be: zones that are given, that follow from what is named, and that are chosen."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.orchestrator.inventory import Inventory
from interlock.schema.cloud import Account, Cluster, Network, Pod, Template, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import NicRequest
from tests.asking import a_cloud, accepts, ask, but, refuses
from tests.fakes import a_host, a_network, a_pool

ABOVE_ACME = ("acme-corp", "customers", "ROOT")

dedications: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"dedicated_account_id": "acme"},
        {"dedicated_account_id": "rival"},
        *({"dedicated_domain_id": domain} for domain in (*ABOVE_ACME, "others")),
    ]
)


def three_zones(*zones: Zone, template: Template | None = None) -> Inventory:
    """Zones that each have all that a VM needs."""
    return a_cloud(
        *zones,
        template or but(Template, "t"),
        *(a_network(f"net-{zone.id}", zone_id=zone.id, is_default=True) for zone in zones if zone.id != "z"),
        *(a_pool(f"nfs-{zone.id}", zone_id=zone.id) for zone in zones),
    )


@st.composite
def zones(draw: st.DrawFn) -> list[Zone]:
    names = ("z", "y", "x")
    return [Zone(id=name, enabled=draw(st.booleans()), **draw(dedications)) for name in names]


def is_acmes(zone: Zone) -> bool:
    return zone.dedicated_account_id in (None, "acme") and zone.dedicated_domain_id in (None, *ABOVE_ACME)


@given(zones(), st.sampled_from([None, "acme", "system", "boss"]))
def test_a_given_zone_is_open_to_the_caller_and_not_anothers(found: list[Zone], caller: str | None) -> None:
    cloud = three_zones(*found)
    for zone in found:
        fits = is_acmes(zone) and (zone.enabled or caller in (None, "system"))
        assert accepts(cloud, zone=zone.id, caller=caller) == fits


@given(zones(), st.frozensets(st.sampled_from(["z", "y"])), st.text("abc", min_size=1, max_size=8))
def test_a_chosen_zone_is_enabled_not_anothers_and_has_the_template(
    found: list[Zone], has: frozenset[str], operation: str
) -> None:
    cloud = three_zones(*found, template=but(Template, "t", zone_ids=tuple(sorted(has))))
    fitting = {zone.id for zone in found if zone.enabled and is_acmes(zone) and (not has or zone.id in has)}
    assert accepts(cloud, operation=operation) == bool(fitting)
    if fitting:
        decision = ask(cloud, operation=operation)
        assert decision.vm is not None
        assert decision.vm.zone_id in fitting


def test_chosen_zones_take_turns() -> None:
    cloud = three_zones(Zone(id="z"), Zone(id="y"), Zone(id="x"))
    chosen = [ask(cloud, operation=f"op{number}").vm for number in range(60)]
    assert {vm.zone_id for vm in chosen if vm is not None} == {"x", "y", "z"}


def test_the_zone_follows_from_what_is_named_in_it() -> None:
    places = (Pod(id="q", zone_id="y"), Cluster(id="d", zone_id="y", pod_id="q"))
    host = a_host("k", "d", zone_id="y", pod_id="q")
    cloud = a_cloud(*places, host, Zone(id="y"), a_network("n", zone_id="y", is_default=True), a_pool("s", zone_id="y"))
    for wish in ({"pod": "q"}, {"cluster": "d"}, {"host": "k"}, {"nics": (NicRequest("n"),)}):
        decision = ask(cloud, **wish)
        assert decision.vm is not None
        assert decision.vm.zone_id == "y"


def test_refusals_name_the_zone_and_what_to_do() -> None:
    refuses(NotFound, "there is no zone 'mars'; there are: z", a_cloud(), zone="mars")
    disabled = a_cloud(but(Zone, "z", enabled=False))
    refuses(NotAllowed, "zone z is disabled, so it is for administrators only", disabled, zone="z", caller="acme")
    dedicated = a_cloud(but(Zone, "z", dedicated_account_id="rival"))
    refuses(NotAllowed, "zone z is dedicated to account rival, not account acme; choose another", dedicated, zone="z")
    dedicated = a_cloud(but(Zone, "z", dedicated_domain_id="others"))
    refuses(NotAllowed, "zone z is dedicated to domain others, not account acme", dedicated, zone="z")
    refuses(InvalidRequest, "there is no enabled zone for account acme with template t; load a cloud", dedicated)


def test_an_account_that_is_dedicated_a_zone_shares_it_not_even_with_its_domain() -> None:
    cloud = a_cloud(
        but(Zone, "z", dedicated_account_id="acme", dedicated_domain_id="acme-corp"),
        Account(id="sister", domain_id="acme-corp"),
        but(Network, "net"),
    )
    assert accepts(cloud, zone="z")
    assert not accepts(cloud, zone="z", account="sister")
