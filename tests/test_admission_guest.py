"""What a guest may be told: user data, keys, details and tags."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import Network, SshKey, Template
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from interlock.schema.settings import USER_DATA_MOST
from tests.asking import a_cloud, a_setting, accepts, ask, but, refuses

SILENT = but(Network, "net", services={"Dhcp": "Provider"})
"""A network that hands out nothing."""
KEYS = (
    SshKey(id="laptop", account_id="acme", public_key="ssh-ed25519 AAAA acme"),
    SshKey(id="acme/desk", account_id="acme", public_key="ssh-ed25519 BBBB acme"),
    SshKey(id="copy", account_id="acme", public_key="ssh-ed25519 AAAA acme"),
    SshKey(id="theirs", account_id="rival", public_key="ssh-ed25519 CCCC rival"),
)


@given(st.binary(max_size=40), st.integers(0, 60))
def test_user_data_is_kept_as_it_came_up_to_the_setting(data: bytes, most: int) -> None:
    text = base64.b64encode(data).decode()
    cloud = a_cloud(a_setting(USER_DATA_MOST, most))
    assert accepts(cloud, user_data=text) == (len(text) <= most)
    if len(text) <= most:
        vm = ask(cloud, user_data=text).vm
        assert vm is not None
        assert base64.b64decode(vm.user_data or "") == data


@given(st.text(st.sampled_from("aB3+/=-_ \n"), max_size=9))
def test_user_data_that_is_no_base64_is_refused(text: str) -> None:
    body = text.rstrip("=")
    padding = len(text) - len(body)
    fits = set(body) <= set("aB3+/") and len(text) % 4 == 0 and padding <= 2
    assert accepts(a_cloud(), user_data=text) == fits


@given(st.lists(st.sampled_from(["laptop", "acme/desk", "desk", "copy", "theirs", "gone"]), max_size=5), st.booleans())
def test_keys_are_the_owners_reach_the_guest_and_count_once(named: list[str], silent: bool) -> None:
    cloud = a_cloud(*KEYS, *((SILENT,) if silent else ()))
    mine = {"laptop": "AAAA", "copy": "AAAA", "acme/desk": "BBBB", "desk": "BBBB"}
    fits = set(named) <= set(mine) and not (silent and named)
    assert accepts(cloud, ssh_keys=tuple(named)) == fits
    if fits:
        vm = ask(cloud, ssh_keys=tuple(named)).vm
        assert vm is not None
        assert sorted(vm.ssh_keys) == sorted(f"ssh-ed25519 {key} acme" for key in {mine[name] for name in named})


labels = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=3))


@given(labels, labels, labels)
def test_details_are_the_templates_with_the_requests_over_them(
    of_template: dict[str, str], of_request: dict[str, str], tags: dict[str, str]
) -> None:
    vm = ask(a_cloud(but(Template, "t", details=of_template)), details=of_request, tags=tags).vm
    assert vm is not None
    assert vm.tags == tags
    assert vm.details.keys() == of_template.keys() | of_request.keys()
    for key, value in vm.details.items():
        assert value == (of_request[key] if key in of_request else of_template[key])


def test_refusals_say_what_to_do() -> None:
    cloud = a_cloud(*KEYS, a_setting(USER_DATA_MOST, 4))
    words = "user_data has 8 bytes in Base64, and 4 are allowed; shorten it, have it fetch the rest, or have vm.userda"
    refuses(InvalidRequest, words, cloud, user_data="YWJjZGVm")
    refuses(InvalidRequest, "user_data is not Base64; encode it, without line breaks", cloud, user_data="YWJ")
    refuses(InvalidRequest, "user_data is not Base64", a_cloud(), user_data="YWJjYWJj=")
    refuses(
        NotFound, "there is no ssh key 'gone'; account acme has: acme/desk, copy, laptop", cloud, ssh_keys=("gone",)
    )
    words = "ssh key theirs belongs to account rival, not acme; name one of its own"
    refuses(NotAllowed, words, cloud, ssh_keys=("theirs",))
    words = "network net, the VM's default one, has no provider of service UserData; leave"
    refuses(InvalidRequest, f"{words} user_data out", a_cloud(SILENT), user_data="YWJj")
    refuses(InvalidRequest, f"{words} ssh_keys out", a_cloud(SILENT, *KEYS), ssh_keys=("laptop",))
