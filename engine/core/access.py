"""Who may do what to whose: the rights of accounts over each other, in the tree of domains.

The caller is the account on whose rights a request is made; None is the operator. An admin may do everything, a
domain-admin what accounts of its domain and those below may, a user what is its own. Never looks at states: only at
whose things are.
"""

from __future__ import annotations

from typing import Protocol

from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account
from interlock.schema.errors import NotAllowed


class Shared(Protocol):
    """Something that is an account's, a domain's with all below it, or everybody's."""

    @property
    def account_id(self) -> str | None: ...
    @property
    def domain_id(self) -> str | None: ...


def is_admin(cloud: Cloud, caller_id: str | None) -> bool:
    """Whether the caller may do everything."""
    if caller_id is None:
        return True
    caller = cloud.find(Account, caller_id)
    return caller is not None and caller.role == "admin"


def acts_for(cloud: Cloud, caller_id: str | None, account_id: str) -> bool:
    """Whether the caller may do what the account may."""
    if caller_id == account_id or is_admin(cloud, caller_id):
        return True
    caller = cloud.find(Account, caller_id or "")
    return caller is not None and caller.role == "domain-admin" and caller.domain_id in cloud.domains_above(account_id)


def must_act_for(cloud: Cloud, caller_id: str | None, account_id: str) -> None:
    """The caller may do what the account may.

    Raises:
        NotAllowed: it may not.
    """
    if not acts_for(cloud, caller_id, account_id):
        raise NotAllowed(f"account {caller_id} may not act for account {account_id}; ask as that account, or an admin")


def is_for(cloud: Cloud, shared: Shared, account_id: str) -> bool:
    """Whether something is the account's to use."""
    if shared.account_id is not None:
        return shared.account_id == account_id
    return shared.domain_id is None or shared.domain_id in cloud.domains_above(account_id)


def in_domains(cloud: Cloud, domain_ids: tuple[str, ...], account_id: str) -> bool:
    """Whether the account is in one of the domains or below; no domains: all are."""
    return not domain_ids or not set(domain_ids).isdisjoint(cloud.domains_above(account_id))
