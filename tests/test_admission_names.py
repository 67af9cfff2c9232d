"""What a VM may be called, and what it is called when nobody says."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.core.admission.names import name_scope_of
from interlock.schema.cloud import Account
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import checked, fault_of_name
from interlock.schema.settings import INSTANCE_SUFFIX, NAME_SCOPE, ZONE
from tests.asking import a_cloud, a_setting, a_vm, accepts, ask, refuses

LETTERS = string.ascii_letters
near_names = st.text(st.sampled_from(LETTERS + string.digits + "--.é\n _"), max_size=70) | st.from_regex(
    r"[A-Za-z0-9-]{60,66}", fullmatch=True
)


@given(near_names | st.text())
def test_a_name_is_accepted_when_it_is_a_host_name(name: str) -> None:
    """RFC 1123, and CloudStack's refusal of a first digit."""
    allowed = set(LETTERS + string.digits + "-")
    fits = 1 <= len(name) <= 63 and set(name) <= allowed and name[0] in LETTERS and name[-1] != "-"
    assert (fault_of_name(name) is None) == fits
    if fits:
        assert checked(a_vm(name=name)).name == name
    else:
        with pytest.raises(InvalidRequest, match="choose one of 1 to 63 letters, digits and hyphens"):
            checked(a_vm(name=name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "name '' is empty; choose one of 1 to 63 letters"),
        ("a" * 64, "has 64 characters, more than 63"),
        ("web_1", "name 'web_1' has '_', which is no letter (a to z), digit or hyphen"),
        ("wéb", "has 'é', which is no letter"),
        ("web\n", r"has '\n', which is no letter"),
        ("123", "name '123' is made of digits only"),
        ("1web", "name '1web' begins with a digit"),
        ("-web", "name '-web' begins with a hyphen"),
        ("web-", "name 'web-' ends with a hyphen"),
    ],
)
def test_a_refused_name_is_told_the_rule_it_breaks(name: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        checked(a_vm(name=name))
    assert words in str(refusal.value)


@given(near_names.filter(lambda name: name and name.isprintable()))
def test_a_name_that_is_made_is_a_host_name_whatever_the_setting_says(suffix: str) -> None:
    cloud = a_cloud(a_setting(INSTANCE_SUFFIX, suffix))
    fits = fault_of_name(f"{suffix}-vm-1") is None
    assert accepts(cloud, name=None) == fits
    if fits:
        vm = ask(cloud, name=None).vm
        assert vm is not None
        assert vm.name == f"{suffix}-vm-1"


def test_a_suffix_that_makes_no_host_name_is_refused_with_the_setting() -> None:
    cloud = a_cloud(a_setting(INSTANCE_SUFFIX, "9x", ZONE, "z"))
    words = (
        "setting instance.name is '9x' in zone z, and the name made with it, 9x-vm-1, begins with a digit; give the VM"
    )
    refuses(InvalidRequest, words, cloud, name=None)


def test_the_instance_name_is_made_of_account_vm_and_suffix_and_the_display_name_is_free() -> None:
    cloud = a_cloud(a_setting(INSTANCE_SUFFIX, "QA", ZONE, "z"))
    vm = ask(cloud, display_name="Shop: the one & only ☕").vm
    assert vm is not None
    assert vm.instance_name == "i-acme-vm-1-QA"
    assert vm.display_name == "Shop: the one & only ☕"


ACCOUNTS = {"acme": "acme-corp", "sister": "acme-corp", "rival": "others"}
"""Each in its domain."""


@given(*[st.sampled_from([("acme", "vm-1"), ("acme", "vm-2"), ("sister", "vm-3"), ("rival", "vm-4")])] * 2)
def test_names_are_distinct_within_the_scope_that_the_setting_says(one: tuple[str, str], two: tuple[str, str]) -> None:
    same = {
        "none": one == two,
        "network": one == two,
        "account": one[0] == two[0],
        "domain": ACCOUNTS[one[0]] == ACCOUNTS[two[0]],
        "global": True,
    }
    for scope, together in same.items():
        cloud = a_cloud(a_setting(NAME_SCOPE, scope), Account(id="sister", domain_id="acme-corp"))
        keys = [name_scope_of(cloud, cloud.find(Account, who), vm) for who, vm in (one, two)]  # type: ignore[arg-type]
        assert (keys[0].key == keys[1].key) == together


@pytest.mark.parametrize("scope", ["none", "network", "account", "domain", "global"])
def test_nics_own_the_name_where_it_is_distinct_on_networks(scope: str) -> None:
    (nic,) = ask(a_cloud(a_setting(NAME_SCOPE, scope))).nics
    assert nic.host_name == ("web" if scope == "network" else None)


def test_an_account_and_a_domain_of_one_name_have_scopes_of_their_own() -> None:
    accounts = a_cloud(a_setting(NAME_SCOPE, "account"), Account(id="others"))
    domains = a_cloud(a_setting(NAME_SCOPE, "domain"))
    account, rival = accounts.find(Account, "others"), domains.find(Account, "rival")
    assert account is not None
    assert rival is not None
    assert name_scope_of(accounts, account, "vm") != name_scope_of(domains, rival, "vm")
