"""Which affinity groups a VM may be in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import AFFINITIES, APART, DEDICATED, AffinityGroup, Cluster, Pod, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from tests.asking import a_cloud, accepts, ask, but, refuses
from tests.fakes import a_host

ABOVE_ACME = ("acme-corp", "customers", "ROOT")
owners = st.sampled_from(
    [{}, {"account_id": "acme"}, {"account_id": "rival"}, {"domain_id": "customers"}, {"domain_id": "others"}]
)
NAMES = ("a", "b", "c")


@given(st.tuples(owners, owners, owners), st.lists(st.sampled_from([*NAMES, "gone"]), max_size=4))
def test_groups_are_the_accounts_its_domains_or_everybodys_and_count_once(
    found: tuple[dict[str, Any], ...], named: list[str]
) -> None:
    groups = [AffinityGroup(id=name, kind=APART, **owner) for name, owner in zip(NAMES, found, strict=True)]
    mine = {
        group.id for group in groups if group.account_id in (None, "acme") and group.domain_id in (None, *ABOVE_ACME)
    }
    cloud = a_cloud(*groups)
    assert accepts(cloud, affinity_groups=tuple(named)) == (set(named) <= mine)
    if set(named) <= mine:
        decision = ask(cloud, affinity_groups=tuple(named))
        assert decision.vm is not None
        assert sorted(decision.vm.affinity_groups) == sorted(set(named))


def dedicated(kind: str, to: dict[str, Any]) -> Any:
    return {
        "zone": but(Zone, "z", **to),
        "pod": but(Pod, "p1", **to),
        "cluster": but(Cluster, "c1", **to),
        "host": a_host("h1", **to),
        "nothing": but(Zone, "z"),
    }[kind]


@given(
    st.sampled_from(["zone", "pod", "cluster", "host", "nothing"]),
    st.sampled_from([{"dedicated_account_id": "acme"}, *({"dedicated_domain_id": each} for each in ABOVE_ACME)]),
    st.sampled_from(["acme", "boss"]),
)
def test_explicit_dedication_wants_a_place_dedicated_to_the_account_or_above(
    kind: str, to: dict[str, Any], account: str
) -> None:
    cloud = a_cloud(dedicated(kind, to), AffinityGroup(id="mine", kind=DEDICATED))
    above = {"acme": ABOVE_ACME, "boss": ("customers", "ROOT")}[account]
    fits = kind != "nothing" and (account == to.get("dedicated_account_id") or to.get("dedicated_domain_id") in above)
    assert accepts(cloud, account=account, affinity_groups=("mine",)) == fits


@pytest.mark.parametrize("kind", AFFINITIES)
def test_every_kind_that_is_known_is_accepted(kind: str) -> None:
    cloud = a_cloud(AffinityGroup(id="mine", kind=kind), a_host("h1", dedicated_account_id="acme"))
    assert accepts(cloud, affinity_groups=("mine",))


def test_refusals_name_the_group_and_what_to_do() -> None:
    def group(**fields: Any) -> AffinityGroup:
        return AffinityGroup(**{"id": "mine", "kind": APART, **fields})

    wish = {"affinity_groups": ("mine",)}
    refuses(NotFound, "there is no affinity group 'mine'; there are: none", a_cloud(), **wish)
    words = "affinity group mine belongs to account rival, not account acme; name another"
    refuses(NotAllowed, words, a_cloud(group(account_id="rival")), **wish)
    words = "affinity group mine belongs to domain others, not account acme"
    refuses(NotAllowed, words, a_cloud(group(domain_id="others")), **wish)
    words = "affinity group mine is of kind 'near the sea', which nobody can keep; there are: host anti-affinity"
    refuses(InvalidRequest, words, a_cloud(group(kind="near the sea")), **wish)
    words = "no host of zone z is dedicated to account acme or a domain above it; leave the ExplicitDedication group"
    refuses(InvalidRequest, words, a_cloud(group(kind=DEDICATED)), **wish)
