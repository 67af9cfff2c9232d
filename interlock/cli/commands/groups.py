"""groups: security groups, their rules and members. rules: other rules for one, told to the hosts of its VMs.

A rule is written PROTOCOL:PORTS:OTHER with tcp and udp, icmp:TYPE[/CODE]:OTHER, icmp:any:OTHER or icmp:OTHER, and
all:OTHER; OTHER is a block of addresses, `group:NAME` of the same account, or `group:ACCOUNT/NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.listing import collected, paged, tell_more
from interlock.cli.output import Out, note
from interlock.cli.report import reporter
from interlock.cli.work import working
from interlock.schema.cloud import FirewallRule, Place, SecurityGroup
from interlock.schema.firewall import GROUP, WITH_PORTS, other_side_of, ports_of

if TYPE_CHECKING:
    from interlock.embed.engine import Engine

ICMP = re.compile(r"(?:([0-9]{1,5})(?:/([0-9]{1,5}))?|any):")
"""Which messages of icmp, before the other side. An IPv6 block may look like it: `any` goes before one that does."""
MEMBERS = 100
"""Members that are listed of a group. Too few: one looks elsewhere; too many: the rules are lost among them."""


@command("groups")
@click.option("--account", metavar="A", help="Only groups of this account.")
@paged("groups")
async def groups(face: Face, after: str | None, limit: int, account: str | None) -> Exit:
    """Show security groups, their rules, and the VMs in them."""
    async with face.looking() as engine:

        async def fetch(after: str | None, limit: int) -> tuple[list[Place], str | None]:
            page = await engine.some_places("security_group", account=account, after=after, limit=limit)
            return page.places, page.next

        places, more = await collected(fetch, after, limit)
        found = cast("list[SecurityGroup]", places)
        members = {group.id: await _members(engine, group) for group in found}
    if face.out.json:
        face.out.document({"groups": [{"group": group, "members": members[group.id]} for group in found]})
    else:
        for group in found:
            _tell(face.out, group, members[group.id])
    tell_more(face.out, more)
    return Exit.OK


async def _members(engine: Engine, group: SecurityGroup) -> list[str]:
    """Their names."""
    found = [vm.name for vm in await engine.members(group.id, limit=MEMBERS + 1)]
    return [*found[:MEMBERS], "…"] if len(found) > MEMBERS else found


def _tell(out: Out, group: SecurityGroup, members: Sequence[str]) -> None:
    out.line(f"{group.id}  version {group.version}")
    for way, rules in (("in", group.ingress), ("out", group.egress)):
        for rule in rules:
            out.line(f"  {way:3}  {written(rule)}")
    out.line(f"  VMs  {', '.join(members) or '-'}")


def written(rule: FirewallRule) -> str:
    """A rule as `rules` takes it."""
    other = rule.cidr if rule.group is None else f"{GROUP}{rule.group}"
    if rule.protocol in WITH_PORTS:
        ports = f"{rule.first_port}" + (f"-{rule.last_port}" if rule.last_port != rule.first_port else "")
        return f"{rule.protocol}:{ports}:{other}"
    if rule.icmp_type is None:
        looks_typed = rule.protocol == "icmp" and ICMP.match(other or "")
        return f"{rule.protocol}:{'any:' if looks_typed else ''}{other}"
    code = "" if rule.icmp_code is None else f"/{rule.icmp_code}"
    return f"{rule.protocol}:{rule.icmp_type}{code}:{other}"


def read(text: str, account: str) -> FirewallRule:
    """A rule as `written` writes it; what it may say is decided elsewhere.

    Raises:
        ValueError: it cannot be read.
    """
    protocol, _, rest = text.partition(":")
    if protocol in WITH_PORTS:
        said, _, rest = rest.partition(":")
        first, last = ports_of(said)
        cidr, group = other_side_of(rest, account)
        return FirewallRule(protocol=protocol, first_port=first, last_port=last, cidr=cidr, group=group)
    kind = code = None
    if protocol == "icmp" and (typed := ICMP.match(rest)):
        kind, code = (int(each) if each else None for each in typed.groups())
        rest = rest[typed.end() :]
    cidr, group = other_side_of(rest, account)
    return FirewallRule(protocol=protocol, icmp_type=kind, icmp_code=code, cidr=cidr, group=group)


@command("rules")
@click.argument("group", metavar="GROUP")
@click.option("--allow-in", metavar="RULE", multiple=True, help="Let in, instead of what there was; repeatable.")
@click.option("--allow-out", metavar="RULE", multiple=True, help="Let out, instead of what there was; repeatable.")
@click.option("--no-in", is_flag=True, help="Let nothing in.")
@click.option("--no-out", is_flag=True, help="Let out as a group without egress rules does.")
async def rules(
    face: Face, group: str, allow_in: tuple[str, ...], allow_out: tuple[str, ...], no_in: bool, no_out: bool
) -> Exit:
    """Give the security group GROUP, ACCOUNT/NAME, other rules, and have the hosts of its VMs told.

    RULE is tcp:22:0.0.0.0/0, udp:5000-5010:10.0.0.0/8, icmp:8/0:0.0.0.0/0 (TYPE/CODE, TYPE or any), all:group:NAME or
    all:group:ACCOUNT/NAME. A direction that is not named stays as it is.
    """
    ingress, egress = _wanted(group, allow_in, no_in), _wanted(group, allow_out, no_out)
    if ingress is None and egress is None:
        raise click.UsageError("say what to let pass: --allow-in, --allow-out, --no-in or --no-out")
    async with working(face, reporter(face.out, "rules")) as work:
        changed = await work.engine.set_rules(group, ingress=ingress, egress=egress)
        await work.engine.idle()
        members = await _members(work.engine, changed)
        behind = [vm.name for vm in await work.engine.members(group) if vm.host_id and vm.rules_told < changed.version]
    if face.out.json:
        face.out.document({"group": changed, "members": members, "behind": behind})
    else:
        _tell(face.out, changed, members)
    if behind:
        note(f"not told yet: the hosts of {', '.join(behind)}; the next command that acts tries again")
    return Exit.FAILED if behind else Exit.OK


def _wanted(group: str, allowed: tuple[str, ...], none: bool) -> list[FirewallRule] | None:
    if allowed and none:
        raise click.UsageError("a direction has rules, or none; not both")
    if not allowed and not none:
        return None
    return [_read(text, group.partition("/")[0]) for text in allowed]


def _read(text: str, account: str) -> FirewallRule:
    try:
        return read(text, account)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no rule: {error}") from error
