"""accounts: the tree of domains and the accounts in it, each with what it has of what it may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.layout import Cell, Column, Row, plain
from interlock.cli.listing import collected, paged, tell_more
from interlock.cli.output import Out
from interlock.schema.cloud import Account, Budget, Domain, Place
from interlock.schema.holdings import LIMITS

TITLES = {"vms": "VMS", "cores": "CORES", "ram": "MIB", "volumes": "VOLS", "storage": "DISK-MIB", "ips": "IPS"}
"""By thing that is limited."""
USED = tuple(Column(TITLES[row.thing], right=True) for row in LIMITS)
ACCOUNTS = (Column("ACCOUNT"), Column("DOMAIN"), *USED, Column("ROLE", extra=True), Column("STATE", extra=True))
DOMAINS = (Column("DOMAIN"), *USED, Column("IN", extra=True))
NEARLY = 0.9
"""Share of a limit from which on it is shown as nearly reached."""


@command("accounts")
@click.option("--domain", metavar="D", help="Only accounts in this domain itself.")
@paged("accounts")
async def accounts(face: Face, after: str | None, limit: int, domain: str | None) -> Exit:
    """Show domains and accounts: what each uses of its limits, as used/limit; a domain's counts all below it.

    With --after, accounts alone.
    """
    async with face.looking() as engine:

        async def fetch(after: str | None, limit: int) -> tuple[list[Place], str | None]:
            page = await engine.some_places("account", domain=domain, after=after, limit=limit)
            return page.places, page.next

        async def fetch_domains(after: str | None, limit: int) -> tuple[list[Place], str | None]:
            page = await engine.some_places("domain", after=after, limit=limit)
            return page.places, page.next

        found, more = await collected(fetch, after, limit)
        known = (await collected(fetch_domains, None, 0))[0] if after is None else []
    domains = list(_tree(cast("list[Domain]", known)))
    if face.out.json:
        face.out.document({"domains": [each for each, _ in domains], "accounts": found})
    else:
        _tell(face.out, domains, cast("list[Account]", found))
    tell_more(face.out, more)
    return Exit.OK


def _tree(domains: list[Domain], parent: str | None = None, depth: int = 0) -> Iterator[tuple[Domain, int]]:
    """Each domain beneath the one it lies in, with its depth."""
    for domain in domains:
        if domain.parent_id == parent:
            yield domain, depth
            yield from _tree(domains, domain.id, depth + 1)


def _tell(out: Out, domains: list[tuple[Domain, int]], accounts: list[Account]) -> None:
    if domains:
        out.table(DOMAINS, [_domain(*each) for each in domains])
        out.line()
    out.table(ACCOUNTS, [_account(each) for each in accounts])


def _domain(domain: Domain, depth: int) -> Row:
    return Row((plain("  " * depth + domain.id), *_used(domain), plain(domain.parent_id)))


def _account(account: Account) -> Row:
    state = ("enabled", "") if account.enabled else ("disabled", "yellow")
    return Row((plain(account.id), plain(account.domain_id), *_used(account), plain(account.role), state))


def _used(budget: Budget) -> Iterator[Cell]:
    """`3/8`, or `3/-` where there is no limit."""
    for row in LIMITS:
        used, limit = getattr(budget, row.used), getattr(budget, row.total)
        if limit is None:
            yield f"{used}/-", ""
        else:
            yield f"{used}/{limit}", "red" if used >= limit else "yellow" if used > NEARLY * limit else ""
