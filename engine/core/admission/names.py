"""Names: the guest's host name, within what it is distinct, and what the hypervisor calls the VM.

That a given name follows RFC 1123 is checked with the request's type (`schema/requests.py`); that it is free is decided
by a unique index in the commit. `AssignVM` meets the same rules.
"""

from __future__ import annotations

from typing import NamedTuple

from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Zone
from interlock.schema.errors import InvalidRequest
from interlock.schema.requests import fault_of_name
from interlock.schema.settings import INSTANCE_SUFFIX, NAME_SCOPE, SettingScope


class NameScope(NamedTuple):
    """Within what a living VM's name is distinct."""

    key: str
    """What `Vm.name_scope` says: VMs with the same one have distinct names."""
    in_networks: bool
    """Whether it is distinct on each network of the VM as well."""


def host_name_of(cloud: Cloud, name: str | None, vm_id: str, zone: Zone) -> str:
    """The name that is given, or one made from the VM's id; which is a host name whatever the setting says."""
    if name is not None:
        return name
    suffix = cloud.setting(INSTANCE_SUFFIX, (SettingScope.ZONE, zone.id))
    made = f"{suffix}-{vm_id}"
    if fault := fault_of_name(made):
        raise InvalidRequest(
            f"setting {INSTANCE_SUFFIX.name} is {suffix!r} in zone {zone.id}, and the name made with it, {made}, "
            f"{fault}; give the VM a name, or have the setting changed"
        )
    return made


def instance_name_of(cloud: Cloud, account: Account, vm_id: str, zone: Zone) -> str:
    """i-<account>-<vm>-<suffix>: distinct, as the VM's id is."""
    return f"i-{account.id}-{vm_id}-{cloud.setting(INSTANCE_SUFFIX, (SettingScope.ZONE, zone.id))}"


def name_scope_of(cloud: Cloud, account: Account, vm_id: str) -> NameScope:
    """What the setting says. With none and network the VM's own id is the scope, so that any name is distinct there."""
    setting = cloud.setting(NAME_SCOPE)
    keys = {"global": "global", "domain": in_domain(account.domain_id), "account": in_account(account.id)}
    return NameScope(keys.get(setting, f"vm/{vm_id}"), setting == "network")


def in_account(account_id: str) -> str:
    """The key of names that are distinct within an account."""
    return f"account/{account_id}"


def in_domain(domain_id: str) -> str:
    """The key of names that are distinct within a domain."""
    return f"domain/{domain_id}"
