"""Sources: the template that a root disk is made from, or the ISO that a blank one boots.

Also the hypervisor, which the template or the request names. `RestoreVM` meets the same rules.
"""

from __future__ import annotations

from interlock.engine.core.access import acts_for
from interlock.engine.core.admission.lookup import existing, listed, must_be_enabled
from interlock.engine.core.admission.owner import must_not_be_system
from interlock.engine.core.snapshot import Cloud
from interlock.schema.cloud import Account, Cluster, Template, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed

ISO = "iso"
"""The kind of template that is not copied to the root disk."""


def template_of(cloud: Cloud, template_id: str, account: Account, caller_id: str | None) -> Template:
    """The template or ISO exists, is enabled, the owner's to use, and boots."""
    template = existing(cloud, Template, template_id)
    must_be_enabled(template)
    must_not_be_system(cloud, template, caller_id)
    template_must_be_for(cloud, template, account)
    template_must_boot(template)
    return template


def template_must_be_for(cloud: Cloud, template: Template, account: Account) -> None:
    """The template is public, shared with the owner, or of an account that the owner may act for.

    One that is private and the operator's own is for accounts of administrators.
    """
    if template.is_public or account.id in template.shared_with:
        return
    if not acts_for(cloud, account.id, template.account_id or ""):
        whose = f"account {template.account_id}" if template.account_id else "the operator"
        raise NotAllowed(
            f"template {template.id} is private to {whose} and not shared with account {account.id}; "
            "choose another, or have it shared"
        )


def template_must_boot(template: Template) -> None:
    """It is bootable: not a disk of data, nor a CD of drivers."""
    if not template.bootable:
        raise InvalidRequest(f"template {template.id} is not bootable; choose another to start the VM from")


def template_must_be_in(template: Template, zone: Zone) -> None:
    """The template is in the zone."""
    if template.zone_ids and zone.id not in template.zone_ids:
        where = listed(template.zone_ids)
        raise InvalidRequest(f"template {template.id} is not in zone {zone.id} but in: {where}; choose one of these")


def hypervisor_of(cloud: Cloud, template: Template, asked: str | None, zone: Zone) -> str | None:
    """The hypervisor that the template and the request agree on; None: any."""
    hypervisors_must_agree(template, asked)
    hypervisor = template.hypervisor or asked
    if hypervisor is not None:
        zone_must_have_hypervisor(cloud, zone, hypervisor)
    return hypervisor


def hypervisors_must_agree(template: Template, asked: str | None) -> None:
    """A template of one hypervisor runs on no other."""
    if asked is not None and template.hypervisor not in (None, asked):
        raise InvalidRequest(
            f"template {template.id} runs on hypervisor {template.hypervisor}, not {asked}; "
            "leave `hypervisor` out, or choose another template"
        )


def zone_must_have_hypervisor(cloud: Cloud, zone: Zone, hypervisor: str) -> None:
    """Some cluster of the zone has the hypervisor."""
    if any(each.hypervisor == hypervisor for each in cloud.all(Cluster) if each.zone_id == zone.id):
        return
    there = sorted({each.hypervisor for each in cloud.all(Cluster) if each.zone_id == zone.id})
    raise InvalidRequest(
        f"no cluster of zone {zone.id} has hypervisor {hypervisor}; there are: {listed(there)}; "
        "choose another template or zone"
    )
