"""Whose a VM shall be: the owner of a request, what the caller may do for it, and what of others' it may use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import Account, DiskOffering, Domain, Offering, Template
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.requests import DiskRequest
from tests.asking import a_cloud, accepts, ask, but, refuses

DOMAINS = {"ROOT": (), "d": ("ROOT",), "e": ("d", "ROOT"), "f": ("ROOT",)}
"""Each with those above it, written out by hand."""
PARENTS = {"d": "ROOT", "e": "d", "f": "ROOT"}
roles = st.sampled_from(["user", "domain-admin", "admin"])
domains = st.sampled_from(sorted(DOMAINS))


def within(inner: str, outer: str) -> bool:
    return outer == inner or outer in DOMAINS[inner]


TREE = tuple(Domain(id=child, parent_id=parent) for child, parent in PARENTS.items())


@given(caller_in=domains, role=roles, caller_on=st.booleans(), owner_in=domains, owner_on=st.booleans())
def test_a_deploy_is_for_oneself_below_oneself_or_by_an_admin(
    caller_in: str, role: str, caller_on: bool, owner_in: str, owner_on: bool
) -> None:
    caller = Account(id="caller", domain_id=caller_in, role=role, enabled=caller_on)
    cloud = a_cloud(*TREE, caller, Account(id="owner", domain_id=owner_in, enabled=owner_on))
    may = role == "admin" or (role == "domain-admin" and within(owner_in, caller_in))
    assert accepts(cloud, caller="caller", account="owner") == (may and caller_on and owner_on)
    assert accepts(cloud, caller="caller", account="caller") == caller_on


@given(st.sampled_from([None, "acme", "boss", "system"]), st.sampled_from([None, "acme", "boss", "system"]))
def test_the_owner_is_who_is_named_else_the_caller_else_the_operator(named: str | None, caller: str | None) -> None:
    may = caller in (None, "system") or named in (None, caller) or (caller == "boss" and named == "acme")
    assert accepts(a_cloud(), caller=caller, account=named) == may
    if may:
        decision = ask(a_cloud(), caller=caller, account=named)
        assert decision.vm is not None
        assert decision.vm.account_id == decision.vm.charged_to == (named or caller or "system")


@given(st.frozensets(domains, max_size=2), domains)
def test_offerings_for_domains_are_for_accounts_in_them_and_below(allowed: frozenset[str], owner_in: str) -> None:
    owner = Account(id="owner", domain_id=owner_in)
    ids = tuple(sorted(allowed))
    fits = not allowed or any(within(owner_in, domain) for domain in allowed)
    cloud = a_cloud(*TREE, owner, but(Offering, "small", domain_ids=ids))
    assert accepts(cloud, account="owner") == fits
    cloud = a_cloud(*TREE, owner, but(DiskOffering, "data", domain_ids=ids))
    assert accepts(cloud, account="owner", data_disks=(DiskRequest("data"),)) == fits


@pytest.mark.parametrize("kind", [Offering, Template])
def test_what_is_the_systems_own_is_for_administrators(kind: type[Offering | Template]) -> None:
    cloud = a_cloud(but(kind, {Offering: "small", Template: "t"}[kind], is_system=True))
    assert accepts(cloud)
    assert accepts(cloud, caller="system")
    assert not accepts(cloud, caller="boss")
    assert not accepts(cloud, caller="acme")


def test_refusals_say_whose_it_is_and_what_to_do() -> None:
    refuses(NotFound, "there is no account 'nobody'; there are: acme, boss, rival, system", a_cloud(), account="nobody")
    refuses(NotAllowed, "account rival may not act for account acme; ask as that account", a_cloud(), caller="rival")
    disabled = a_cloud(but(Account, "acme", enabled=False))
    refuses(NotAllowed, "account acme, the owner, is disabled; an administrator can enable it", disabled)
    refuses(NotAllowed, "there is no account 'nobody' on whose rights to ask", a_cloud(), caller="nobody")
    refuses(NotAllowed, "account acme is disabled", disabled, caller="acme")


def test_refusals_of_offerings_and_templates_name_them() -> None:
    cloud = a_cloud(but(Offering, "small", is_system=True))
    refuses(NotAllowed, "offering small is a system one, for administrators only; choose", cloud, caller="acme")
    cloud = a_cloud(but(Template, "t", is_system=True))
    refuses(NotAllowed, "template t is a system one, for administrators only", cloud, caller="acme")
    cloud = a_cloud(but(Offering, "small", domain_ids=("others",)))
    refuses(NotAllowed, "offering small is for domain others, where account acme is not; choose another", cloud)
    cloud = a_cloud(but(DiskOffering, "data", domain_ids=("others", "acme-corp")))
    assert accepts(cloud, data_disks=(DiskRequest("data"),))
    cloud = a_cloud(but(DiskOffering, "data", domain_ids=("others",)))
    refuses(NotAllowed, "disk offering data is for domain others", cloud, data_disks=(DiskRequest("data"),))
    cloud = a_cloud(but(Offering, "small", enabled=False))
    refuses(InvalidRequest, "offering small is disabled; choose another, or have an administrator enable it", cloud)
    refuses(NotFound, "there is no offering 'huge'; there are: custom, small", a_cloud(), offering="huge")


def test_a_list_of_what_there_is_stops_after_ten() -> None:
    cloud = a_cloud(*(Template(id=f"t{number:02}", size_mib=1) for number in range(30)))
    refuses(NotFound, "there are: t, t00, t01, t02, t03, t04, t05, t06, t07, t08, …", cloud, template="gone")
