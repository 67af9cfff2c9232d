"""The guest: what it is told on its first boot, and what the driver is told of it.

User data and keys reach the guest through its default network, so that must offer them.
"""

from __future__ import annotations

import re

from interlock.engine.core.admission.lookup import existing_of
from interlock.engine.core.admission.networks import USER_DATA, offers
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Network, SshKey, Template
from interlock.schema.errors import InvalidRequest, NotAllowed
from interlock.schema.settings import USER_DATA_MOST

_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
"""Not left to `base64`, which takes more padding than there may be."""


def user_data_of(cloud: Cloud, user_data: str | None, network: Network) -> str | None:
    """User data is Base64, not too long, and the default network hands it to the guest."""
    if user_data is not None:
        user_data_must_not_be_too_long(cloud, user_data)
        user_data_must_be_base64(user_data)
        network_must_hand_out(network, "user_data")
    return user_data


def user_data_must_not_be_too_long(cloud: Cloud, user_data: str) -> None:
    """It is no longer than the setting allows."""
    most = cloud.setting(USER_DATA_MOST)
    if len(user_data) > most:
        raise InvalidRequest(
            f"user_data has {len(user_data)} bytes in Base64, and {most} are allowed; shorten it, have it fetch the "
            f"rest, or have {USER_DATA_MOST.name} raised"
        )


def user_data_must_be_base64(user_data: str) -> None:
    """It is Base64, without line breaks."""
    if not _BASE64.fullmatch(user_data):
        raise InvalidRequest("user_data is not Base64; encode it, without line breaks")


def ssh_keys_of(cloud: Cloud, names: tuple[str, ...], account: Account, network: Network) -> tuple[str, ...]:
    """The public keys that are named, each once; each is the owner's, and the default network hands them out."""
    if names:
        network_must_hand_out(network, "ssh_keys")
    return tuple(dict.fromkeys(ssh_key_of(cloud, name, account).public_key for name in names))


def ssh_key_of(cloud: Cloud, name: str, account: Account) -> SshKey:
    """The key exists and is the owner's."""
    key = existing_of(cloud, SshKey, name, account.id)
    if key.account_id != account.id:
        raise NotAllowed(f"ssh key {key.id} belongs to account {key.account_id}, not {account.id}; name one of its own")
    return key


def network_must_hand_out(network: Network, what: str) -> None:
    """The VM's default network has a provider of user data, by which keys come as well."""
    if not offers(network, USER_DATA):
        raise InvalidRequest(
            f"network {network.id}, the VM's default one, has no provider of service {USER_DATA}; leave {what} out, "
            "or choose another default network"
        )


def details_of(template: Template, details: dict[str, str]) -> dict[str, str]:
    """The template's details, and over them the request's."""
    return {**template.details, **details}
