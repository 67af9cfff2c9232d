"""The owner: whose VM it shall be, and what that account and the caller may use.

The owner is the account that is named, else the caller's, else the operator's own. Its things are looked at as it may
use them: an administrator who deploys for a user gives it nothing that is not the user's to use, except what only
administrators may name at all.
"""

from __future__ import annotations

from interlock.engine.core.access import in_domains, is_admin, must_act_for
from interlock.engine.core.admission.lookup import existing, word
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, DiskOffering, Offering, Template
from interlock.schema.errors import NotAllowed

OPERATOR = "system"
"""The account of what the operator asks for without naming one."""


def owner_of(cloud: Cloud, account_id: str | None, caller_id: str | None) -> Account:
    """The owner exists, the caller may act for it, and it is enabled."""
    account = existing(cloud, Account, account_id or caller_id or OPERATOR)
    must_act_for(cloud, caller_id, account.id)
    owner_must_be_enabled(account)
    return account


def owner_must_be_enabled(account: Account) -> None:
    """The owner is enabled. Whoever asks: an administrator enables it first."""
    if not account.enabled:
        raise NotAllowed(f"account {account.id}, the owner, is disabled; an administrator can enable it")


def must_not_be_system(cloud: Cloud, place: Template | Offering, caller_id: str | None) -> None:
    """What is the system's own is named by administrators only."""
    if place.is_system and not is_admin(cloud, caller_id):
        what = f"{word(type(place))} {place.id}"
        raise NotAllowed(f"{what} is a system one, for administrators only; choose another")


def must_be_for_domain(cloud: Cloud, place: Offering | DiskOffering, account: Account) -> None:
    """The owner is in a domain that may use the offering, or below one."""
    if not in_domains(cloud, place.domain_ids, account.id):
        domains = " or ".join(place.domain_ids)
        raise NotAllowed(
            f"{word(type(place))} {place.id} is for domain {domains}, where account {account.id} is not; choose another"
        )
