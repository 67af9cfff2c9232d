"""The whole create-VM flow: domains and limits, dedication, disks of their own, affinity, security groups, settings.

Frozen, like the first. Each new column says beside it, in SQL, what the rows of release 0.1 get; what those rows said
before stays as it was. The journal is not touched, but for the rule that its rows belong to a VM.

Three things mean something else from here on. What VMs hold of a host is their size divided by the host's overcommit,
out of what the host physically has; in 0.1 it was their whole size, out of the total times the overcommit. VMs and
volumes count against the limits of an account until they are destroyed and expunged. And accounts are in domains: all
there are, in ROOT; `system`, under which the operator acted, may do everything.

Expects that no guards are installed and that the database does not hold rows to their references meanwhile: SQLite
changes most tables by making them again. `engine/store/migrate.py` sees to both.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Column = sa.Column[Any]
New = Column | tuple[Column, str]
"""A column, and what rows that are there get, as SQL: without it, nothing or the column's default."""

YES, NO, LIST, OBJECT = "TRUE", "FALSE", "'[]'", "'{}'"

ACTIVE = "state IN ('Queued', 'Running', 'Retrying', 'Undoing', 'Stuck')"

LIMITS = {
    "vms": ("vms_limit", "vms_used"),
    "cores": ("cores_limit", "cores_used"),
    "ram": ("memory_limit_mib", "memory_used_mib"),
    "volumes": ("volumes_limit", "volumes_used"),
    "storage": ("storage_limit_mib", "storage_used_mib"),
    "ips": ("ips_limit", "ips_used"),
}


def _column(name: str, kind: Any, comment: str, *keys: Any, **more: Any) -> Column:
    return sa.Column(name, kind, *keys, **{"nullable": False, **more}, comment=comment)


def _text(name: str, comment: str, target: str | None = None, **more: Any) -> Column:
    return _column(name, sa.Text(), comment, *_refers(target), **more)


def _optional(name: str, comment: str, target: str | None = None) -> Column:
    return _text(name, comment, target, nullable=True)


def _key(name: str, comment: str, target: str | None = None) -> Column:
    return _text(name, comment, target, primary_key=True)


def _integer(name: str, comment: str, **more: Any) -> Column:
    return _column(name, sa.Integer(), comment, **more)


def _big(name: str, comment: str, **more: Any) -> Column:
    return _column(name, sa.BigInteger(), comment, **more)


def _boolean(name: str, comment: str) -> Column:
    return _column(name, sa.Boolean(), comment)


def _ratio(name: str, comment: str) -> Column:
    return _column(name, sa.Double(), comment, nullable=True)


def _refers(target: str | None) -> list[sa.ForeignKey]:
    return [sa.ForeignKey(target)] if target else []


def _index(name: str, table: str, columns: list[str], *, unique: bool = False, where: str | None = None) -> None:
    partial: dict[str, Any] = (
        {} if where is None else {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
    )
    op.create_index(name, table, columns, unique=unique, **partial)


def _widen(table: str, *new: New, loosened: tuple[str, ...] = ()) -> None:
    """Add columns to a table that has rows; `loosened` are columns that may be empty from now on."""
    pairs = [each if isinstance(each, tuple) else (each, None) for each in new]
    given = {column.name: old for column, old in pairs if old is not None}
    required = [column.name for column, old in pairs if old is not None and not column.nullable]
    for column, old in pairs:
        column.nullable = column.nullable or old is not None
        op.add_column(table, column, inline_references=True)
    if given:
        op.execute(f"UPDATE {table} SET {', '.join(f'{name} = {old}' for name, old in given.items())}")
    with op.batch_alter_table(table) as batch:
        for name in required:
            batch.alter_column(name, nullable=False)
        for name in loosened:
            batch.alter_column(name, nullable=True)


def _say(table: str, **comments: str) -> None:
    """Change what columns say of themselves, in the database that keeps that."""
    if _on_postgresql():
        for column, comment in comments.items():
            op.alter_column(table, column, comment=comment)


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    """Make what is new; then change what there is, and count."""
    _domain()
    _account()
    _places()
    _offering()
    _disk_offering()
    _template()
    _network()
    _pod_range()
    _groups()
    _ssh_key()
    _setting()
    _vm()
    _nic()
    _volume()
    _operation()
    _journal()
    _count()
    _physical()


def _domain() -> None:
    op.create_table(
        "domain",
        _key("id", "Name of the domain; ROOT is above all."),
        *_budget(),
        _optional("parent_id", "The domain it lies in.", "domain.id"),
    )
    op.create_table(
        "domain_above",
        _key("domain_id", "A domain.", "domain.id"),
        _key("above_id", "Itself, or one above it.", "domain.id"),
    )
    op.execute("INSERT INTO domain (id) VALUES ('ROOT')")
    op.execute("INSERT INTO domain_above (domain_id, above_id) VALUES ('ROOT', 'ROOT')")


def _budget() -> list[Column]:
    limits = [_big(limit, f"Most of its {thing}; empty: any.", nullable=True) for thing, (limit, _) in LIMITS.items()]
    used = [_big(used, f"Its {thing}; kept by triggers.", server_default="0") for thing, (_, used) in LIMITS.items()]
    return [*limits, *used]


def _account() -> None:
    _widen(
        "account",
        *_budget(),
        (_text("domain_id", "The domain it is in.", "domain.id"), "'ROOT'"),
        (_text("role", "user, domain-admin or admin."), "CASE id WHEN 'system' THEN 'admin' ELSE 'user' END"),
        (_enabled(), YES),
    )


def _enabled() -> Column:
    return _boolean("enabled", "Whether it may be used for new VMs.")


def _places() -> None:
    _widen(
        "zone",
        (_text("kind", "basic or advanced."), "'advanced'"),
        (_boolean("security_groups", "Whether its VMs may be in security groups."), NO),
        (_boolean("local_storage", "Whether volumes may lie on hosts."), YES),
        *_dedicated(),
    )
    _widen("pod", *_dedicated())
    _widen("cluster", (_text("hypervisor", "What its hosts run."), "'simulator'"), *_dedicated())
    _widen("host", (_text("tags", "JSON array: what offerings and templates may ask for."), LIST), *_dedicated())
    _widen("storage_pool", (_text("tags", "JSON array: what offerings may ask for."), LIST))
    for table in ("zone", "pod", "cluster", "host", "storage_pool", "network", "template"):
        _say(table, enabled="Whether it may be used for new VMs.")


def _dedicated() -> list[Column]:
    return [
        _optional("dedicated_domain_id", "The only domain, with those below, that may use it.", "domain.id"),
        _optional("dedicated_account_id", "The only account that may use it.", "account.id"),
    ]


def _offering() -> None:
    _widen(
        "offering",
        (_integer("cores_least", "Fewest virtual CPUs a request may say."), "1"),
        (_integer("cores_most", "Most virtual CPUs a request may say."), "1024"),
        (_integer("mhz_least", "Least speed a request may say, in MHz."), "1"),
        (_integer("mhz_most", "Greatest speed a request may say, in MHz."), "1000000"),
        (_integer("memory_least_mib", "Least memory a request may say, in MiB."), "1"),
        (_integer("memory_most_mib", "Greatest memory a request may say, in MiB."), str(2**30)),
        _optional("planner_mode", "Of implicit dedication: strict or preferred."),
        (_text("host_tags", "JSON array: tags its hosts must have."), LIST),
        (_text("storage_tags", "JSON array: tags the pools of its disks must have."), LIST),
        _integer("root_mib", "Size of the root disk, in MiB; empty: the template's.", nullable=True),
        (_boolean("root_strict", "Whether requests may not choose another root disk."), NO),
        (_text("domain_ids", "JSON array: the domains, with those below, that may use it; empty: everybody."), LIST),
        (_boolean("is_system", "Whether it is for the operator's own VMs only."), NO),
        (_enabled(), YES),
        loosened=("cpu_cores", "cpu_mhz", "memory_mib"),
    )
    _say(
        "offering",
        cpu_cores="Virtual CPUs; empty: the request says.",
        cpu_mhz="Speed of one, in MHz; empty: the request says.",
        memory_mib="Memory, in MiB; empty: the request says.",
        planner="Host planner of its VMs; empty: the setting says.",
    )


def _disk_offering() -> None:
    op.create_table(
        "disk_offering",
        _key("id", "Name of the disk offering."),
        _integer("size_mib", "Size, in MiB; empty: the request says.", nullable=True),
        _text("storage", "shared or local."),
        _text("storage_tags", "JSON array: tags its pools must have."),
        _text("domain_ids", "JSON array: the domains, with those below, that may use it; empty: everybody."),
        _enabled(),
    )


def _template() -> None:
    _widen(
        "template",
        (_text("kind", "disk or iso."), "'disk'"),
        (_boolean("bootable", "Whether a VM can begin from it."), YES),
        _optional("hypervisor", "The only hypervisor it runs on; empty: any."),
        (_text("zone_ids", "JSON array: the zones it is in; empty: all."), LIST),
        _optional("account_id", "Whose it is; empty: the operator's.", "account.id"),
        (_boolean("is_public", "Whether everybody may use it."), YES),
        (_text("shared_with", "JSON array: accounts that may use it though it is not public."), LIST),
        (_boolean("is_system", "Whether it is for the operator's own VMs only."), NO),
        (_text("host_tags", "JSON array: tags its hosts must have."), LIST),
        (_text("details", "JSON object: handed to the driver."), OBJECT),
    )


def _network() -> None:
    _widen(
        "network",
        _optional("cidr6", "Its IPv6 block, if it has one."),
        _optional("gateway6", "IPv6 gateway the guests get."),
        _optional("domain_id", "The only domain, with those below, that may use it.", "domain.id"),
        (_text("services", "JSON object: what it offers, each with its provider."), OBJECT),
        (_boolean("is_public", "Whether its addresses count as public ones."), NO),
    )
    _say(
        "network",
        cidr="Its IPv4 block.",
        gateway="IPv4 gateway the guests get.",
        first_ip="Lowest IPv4 address given out.",
        last_ip="Highest IPv4 address given out.",
    )


def _pod_range() -> None:
    op.create_table(
        "pod_range",
        _key("id", "Name of the range."),
        _text("network_id", "Its network.", "network.id"),
        _text("pod_id", "The pod whose guests get these addresses.", "pod.id"),
        _text("cidr", "The pod's block."),
        _text("gateway", "Gateway the guests get."),
        _text("first_ip", "Lowest address given out."),
        _text("last_ip", "Highest address given out."),
    )


def _groups() -> None:
    op.create_table(
        "affinity_group",
        _key("id", "Name of the group."),
        _text("kind", "What its VMs are to each other, in CloudStack's words."),
        _optional("account_id", "Whose it is; empty: a domain's, or everybody's.", "account.id"),
        _optional("domain_id", "The domain whose accounts, with those below, may use it.", "domain.id"),
    )
    op.create_table(
        "security_group",
        _key("id", "<account>/<name>."),
        _text("account_id", "Whose it is.", "account.id"),
        _text("name", "Distinct within the account."),
        _text("ingress", "JSON array: what may come in."),
        _text("egress", "JSON array: what may go out."),
        _big("version", "Rises, over all groups, with each change of rules."),
    )
    _index("security_group_version", "security_group", ["version"])
    for what in ("affinity", "security"):
        op.create_table(
            f"{what}_member",
            _key("group_id", f"The {what} group."),
            _key("vm_id", "A VM that is in it, and not Expunged."),
        )
        _index(f"{what}_member_vm", f"{what}_member", ["vm_id"])


def _ssh_key() -> None:
    op.create_table(
        "ssh_key",
        _key("id", "Name of the key."),
        _text("account_id", "Whose it is.", "account.id"),
        _text("public_key", "The key, as OpenSSH writes it."),
    )


def _setting() -> None:
    op.create_table(
        "setting",
        _key("id", "name@scope or name@scope/place."),
        _text("name", "Name of the setting."),
        _text("scope", "global, zone, cluster, storage_pool or account."),
        _optional("place_id", "The place it holds for; empty: everywhere."),
        _text("value", "JSON text."),
    )


def _vm() -> None:
    charged = "The account whose VM, core and memory limits it counts against; empty once Destroyed."
    uncharged = "state IN ('Destroyed', 'Expunging', 'Expunged', 'Error')"
    _widen(
        "vm",
        _optional("display_name", "What its owner calls it."),
        (
            _text("instance_name", "What the hypervisor calls it: i-<account>-<vm>-<suffix>."),
            "'i-' || account_id || '-' || id || '-VM'",
        ),
        (_optional("charged_to", charged, "account.id"), f"CASE WHEN {uncharged} THEN NULL ELSE account_id END"),
        _optional("hypervisor", "The only hypervisor it runs on; empty: any."),
        _ratio("own_cpu_overcommit", "Overcommit ratio of its own; empty: its host's."),
        _ratio("own_memory_overcommit", "Overcommit ratio of its own; empty: its host's."),
        (_integer("cpu_held_mhz", "What it takes of its host: CPU over the ratio, in MHz."), _held("cpu", "cpu_mhz")),
        (_integer("memory_held_mib", "What it takes of its host, in MiB."), _held("memory", "memory_mib")),
        _optional("target_host_id", "Where it migrates to, and holds capacity as well.", "host.id"),
        (_text("affinity_groups", "JSON array: the affinity groups it is in."), LIST),
        (_text("security_groups", "JSON array: the security groups it is in."), LIST),
        (_integer("rules_told", "Highest version of security groups its host was told."), "0"),
        _optional("user_data", "Base64 of what the guest is given."),
        (_text("ssh_keys", "JSON array: public keys the guest is given."), LIST),
        (_text("details", "JSON object: handed to the driver."), OBJECT),
        (_text("tags", "JSON object: its owner's labels."), OBJECT),
    )
    op.drop_index("vm_state", "vm")
    _index("vm_state", "vm", ["state", "since"])
    _say(
        "vm",
        template_id="What its root disk was made from, or the ISO it boots.",
        cpu_mhz="Cores times speed: what the guest sees, in MHz.",
        memory_mib="What the guest sees, in MiB.",
    )


def _held(thing: str, size: str) -> str:
    """What a VM of that size is guaranteed by its host, rounded down, but never nothing; without a host, all of it."""
    quotient = f"vm.{size} / host.{thing}_overcommit"
    whole = f"CAST({f'floor({quotient})' if _on_postgresql() else quotient} AS INTEGER)"
    on_host = f"CASE WHEN vm.{size} < host.{thing}_overcommit THEN 1 ELSE {whole} END"
    return f"coalesce((SELECT {on_host} FROM host WHERE host.id = vm.host_id), {size})"


def _nic() -> None:
    _widen(
        "nic",
        _optional("wished_ip", "IPv4 address that was asked for."),
        _optional("ip6_address", "IPv6 address it owns; empty once Deallocated."),
        _optional("host_name", "The VM's name, where it must be distinct in the network."),
        _optional("charged_to", "The account whose limit of public addresses it counts against.", "account.id"),
    )
    _index("nic_ip6_once", "nic", ["network_id", "ip6_address"], unique=True)
    _index("nic_name_once", "nic", ["network_id", "host_name"], unique=True)


def _volume() -> None:
    charged = "The account whose limits of volumes and storage it counts against; empty once Expunged."
    account = _of_its_vm("account_id")
    made = "template_id IS NOT NULL AND pool_id IS NOT NULL"
    _widen(
        "volume",
        (_text("account_id", "Whose it is.", "account.id"), account),
        (_optional("charged_to", charged, "account.id"), f"CASE WHEN state = 'Expunged' THEN NULL ELSE {account} END"),
        (_text("zone_id", "Where it lives.", "zone.id"), _of_its_vm("zone_id")),
        _optional("offering_id", "Its disk offering, if it has one.", "disk_offering.id"),
        (_text("storage_tags", "JSON array: tags that its pool must have."), LIST),
        (
            _optional("clone", "How it was made from its template: full or linked."),
            f"CASE WHEN {made} THEN 'full' ELSE NULL END",
        ),
        loosened=("vm_id", "device"),
    )
    _index("volume_account", "volume", ["account_id", "id"])
    _index("volume_name", "volume", ["name", "id"])
    _say(
        "volume",
        vm_id="The VM it is attached to.",
        name="ROOT-<vm>, DATA-<vm>-<device>, or what its owner calls it.",
    )


def _of_its_vm(column: str) -> str:
    return f"(SELECT vm.{column} FROM vm WHERE vm.id = volume.vm_id)"


def _operation() -> None:
    _widen(
        "operation",
        _optional("volume_id", "The volume it is about.", "volume.id"),
        _optional("caller_id", "The account on whose rights; empty: the operator's."),
        (_text("kept", "JSON object: what a step replaced, which its undo puts back."), OBJECT),
        loosened=("vm_id",),
    )
    _index("operation_volume_once", "operation", ["volume_id"], unique=True, where=ACTIVE)
    _say("operation", kind="What it does: deploy, start, stop, ….")


def _journal() -> None:
    _widen("journal", loosened=("vm_id",))
    _say("journal", vm_id="The VM it belongs to; empty for a disk that belongs to none.")


def _count() -> None:
    """What accounts have, and with them ROOT."""
    _sum(
        "account",
        "vm",
        "charged_to",
        vms_used="count(*)",
        cores_used="sum(cpu_cores)",
        memory_used_mib="sum(memory_mib)",
    )
    _sum("account", "volume", "charged_to", volumes_used="count(*)", storage_used_mib="sum(size_mib)")
    sums = (f"{used} = (SELECT coalesce(sum({used}), 0) FROM account)" for _, used in LIMITS.values())
    op.execute(f"UPDATE domain SET {', '.join(sums)}")


def _physical() -> None:
    """What VMs hold of hosts, out of what these physically have."""
    _sum("host", "vm", "host_id", cpu_used_mhz="sum(cpu_held_mhz)", memory_used_mib="sum(memory_held_mib)")
    with op.batch_alter_table("host") as batch:
        for thing, unit in (("cpu", "mhz"), ("memory", "mib")):
            name, used = f"host_{thing}_within_capacity", f"{thing}_used_{unit}"
            batch.drop_constraint(name, type_="check")
            batch.create_check_constraint(name, f"{used} >= 0 AND {used} <= {thing}_{unit}")
    _say(
        "host",
        cpu_overcommit="VMs that start here hold their CPU divided by this.",
        memory_overcommit="VMs that start here hold their memory divided by this.",
    )


def _sum(place: str, holder: str, key: str, **sums: str) -> None:
    """Set counters of the places that `key` of a holder names."""
    counted = ", ".join(f"{total} AS {used}" for used, total in sums.items())
    held = f"SELECT {key}, {counted} FROM {holder} WHERE {key} IS NOT NULL GROUP BY {key}"
    set_to = ", ".join(f"{used} = held.{used}" for used in sums)
    op.execute(f"UPDATE {place} SET {set_to} FROM ({held}) AS held WHERE held.{key} = {place}.id")
