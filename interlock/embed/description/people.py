"""Domains, accounts and what belongs to them: from tables to records, with those that are always there.

Promises: domains come with those above first, and each has one way up to ROOT.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from interlock.embed.description.knobs import scoped
from interlock.embed.description.tables import AccountTable, AffinityGroupTable, DomainTable, SshKeyTable
from interlock.embed.description.words import Limits
from interlock.schema.cloud import AFFINITIES, Account, AffinityGroup, Domain, Place, SshKey
from interlock.schema.errors import InvalidRequest
from interlock.schema.settings import SettingScope

ROOT = Domain(id="ROOT", parent_id=None)
SYSTEM = Account(id="system", domain_id="ROOT", role="admin")
ALWAYS: tuple[Place, ...] = (ROOT, SYSTEM)
"""There without being described; a description may give them limits."""

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""What OpenSSH takes in authorized_keys."""


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "vms_limit": limits.vms,
        "cores_limit": limits.cpu_cores,
        "memory_limit_mib": limits.memory_mib,
        "volumes_limit": limits.volumes,
        "storage_limit_mib": limits.storage_mib,
        "ips_limit": limits.public_ips,
    }


def domains(tables: Sequence[DomainTable]) -> list[Domain]:
    """All domains, those above first.

    Raises:
        InvalidRequest: they are no tree under ROOT.
    """
    found = [_domain(table) for table in tables]
    parents = {domain.id: domain.parent_id for domain in found} | {"ROOT": None}
    depth = {domain.id: len(above(domain.id, parents)) for domain in found}
    return sorted(found, key=lambda domain: depth[domain.id])


def _domain(table: DomainTable) -> Domain:
    is_root = table.name == "ROOT"
    if is_root and table.parent is not None:
        raise InvalidRequest("domain ROOT is above all: it has no `parent`")
    return Domain(id=table.name, parent_id=None if is_root else table.parent or "ROOT", **_limits(table.limits))


def above(domain_id: str, parents: Mapping[str, str | None]) -> list[str]:
    """A domain and all above it, nearest first.

    Raises:
        InvalidRequest: its way up does not lead to ROOT.
    """
    way: list[str] = []
    at: str | None = domain_id
    while at is not None:
        if at in way:
            raise InvalidRequest(f"domain {at} lies in itself, by way of {' in '.join([*way, at])}; ROOT is above all")
        if at not in parents:
            raise InvalidRequest(f"domain {way[-1]} lies in {at}, which is not in [[domains]]")
        way.append(at)
        at = parents[at]
    return way


def accounts(tables: Iterable[AccountTable]) -> Iterator[Place]:
    """The accounts and their settings.

    Raises:
        InvalidRequest: `system` would be something else than it is.
    """
    for table in tables:
        yield _account(table)
        yield from scoped(table.settings, SettingScope.ACCOUNT, table.name)


def _account(table: AccountTable) -> Account:
    is_system = table.name == SYSTEM.id
    role = table.role or ("admin" if is_system else "user")
    if is_system and (role, table.domain, table.enabled) != (SYSTEM.role, SYSTEM.domain_id, True):
        raise InvalidRequest("account system is the operator's own: an enabled admin of ROOT; only limits may be given")
    return Account(id=table.name, domain_id=table.domain, role=role, enabled=table.enabled, **_limits(table.limits))


def affinity_group(table: AffinityGroupTable) -> AffinityGroup:
    """An affinity group.

    Raises:
        InvalidRequest: there is no such kind, or it is of both an account and a domain.
    """
    if table.kind not in AFFINITIES:
        raise InvalidRequest(f"affinity group {table.name}: kind is one of {', '.join(AFFINITIES)}, not {table.kind!r}")
    if table.account and table.domain:
        raise InvalidRequest(f"affinity group {table.name} is of an `account` or of a `domain`, not of both")
    return AffinityGroup(id=table.name, kind=table.kind, account_id=table.account, domain_id=table.domain)


def ssh_key(table: SshKeyTable) -> SshKey:
    """A public key. What is wrong with one is told without repeating it: it may be a private one.

    Raises:
        InvalidRequest: OpenSSH would not know it.
    """
    kind, _, rest = table.public_key.strip().partition(" ")
    said = kind if kind in KEY_TYPES else "none of them"
    if said != kind or not table.public_key.isprintable() or not _holds(rest.partition(" ")[0], kind):
        raise InvalidRequest(
            f"ssh key {table.name} is no public key as OpenSSH writes it, in one line: TYPE BASE64 COMMENT, "
            f"with TYPE one of {', '.join(KEY_TYPES)}; it is in the file that ends in .pub"
        )
    return SshKey(id=table.name, account_id=table.account, public_key=table.public_key.strip())


def _holds(text: str, kind: str) -> bool:
    """Whether a Base64 text is a key of that type: it begins with the type's length and name, and goes on."""
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    head = len(kind).to_bytes(4, "big") + kind.encode()
    return blob.startswith(head) and len(blob) > len(head)
