"""What a VM may be started from: templates and ISOs, and the hypervisor they run on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.schema.cloud import Account, Cluster, Template, Zone
from interlock.schema.errors import InvalidRequest, NotAllowed, NotFound
from tests.asking import a_cloud, accepts, ask, but, refuses

owners = st.sampled_from([None, "acme", "rival", "boss", "system"])
sharing = st.frozensets(st.sampled_from(["acme", "rival", "boss"]), max_size=2)


@given(owners, st.booleans(), sharing, st.sampled_from(["acme", "rival", "boss", "system"]))
def test_a_template_is_public_shared_ones_own_or_of_whom_one_administers(
    whose: str | None, public: bool, shared: frozenset[str], account: str
) -> None:
    template = but(Template, "t", account_id=whose, is_public=public, shared_with=tuple(sorted(shared)))
    administers = account == "system" or (account, whose) == ("boss", "acme")
    fits = public or account in shared or account == whose or administers
    assert accepts(a_cloud(template), account=account) == fits


@given(
    enabled=st.booleans(),
    bootable=st.booleans(),
    zones=st.frozensets(st.sampled_from(["z", "y"])),
    kind=st.sampled_from(["disk", "iso"]),
)
def test_a_template_is_enabled_boots_and_is_in_the_zone(
    enabled: bool, bootable: bool, zones: frozenset[str], kind: str
) -> None:
    template = but(Template, "t", kind=kind, enabled=enabled, bootable=bootable, zone_ids=tuple(sorted(zones)))
    fits = enabled and bootable and (not zones or "z" in zones)
    assert accepts(a_cloud(template, Zone(id="y")), zone="z", root_offering="data") == fits


kinds = st.sampled_from(["kvm", "xen", "vmware"])


@given(st.none() | kinds, st.none() | kinds, st.frozensets(kinds, min_size=1, max_size=2))
def test_the_hypervisor_is_what_template_and_request_agree_on_and_the_zone_has(
    of_template: str | None, asked: str | None, there: frozenset[str]
) -> None:
    clusters = [Cluster(id=f"c-{kind}", zone_id="z", pod_id="p1", hypervisor=kind) for kind in there]
    elsewhere = Cluster(id="far", zone_id="y", pod_id="p1", hypervisor="vmware")
    cloud = a_cloud(but(Template, "t", hypervisor=of_template), *clusters, elsewhere, Zone(id="y", enabled=False))
    wanted = {each for each in (of_template, asked) if each is not None}
    fits = len(wanted) <= 1 and wanted <= there
    assert accepts(cloud, hypervisor=asked) == fits
    if fits:
        decision = ask(cloud, hypervisor=asked)
        assert decision.vm is not None
        assert decision.vm.hypervisor == (next(iter(wanted)) if wanted else None)


def test_a_private_template_of_the_operator_is_for_accounts_of_administrators() -> None:
    cloud = a_cloud(but(Template, "t", is_public=False), Account(id="second", role="admin"))
    assert accepts(cloud, account="system")
    assert accepts(cloud, account="second")
    refuses(NotAllowed, "template t is private to the operator and not shared with account acme", cloud)


def test_refusals_name_the_template_and_what_to_do() -> None:
    refuses(NotFound, "there is no template 'gone'; there are: t", a_cloud(), template="gone")
    disabled = a_cloud(but(Template, "t", enabled=False))
    refuses(InvalidRequest, "template t is disabled; choose another, or have an", disabled)
    private = a_cloud(but(Template, "t", is_public=False, account_id="rival"))
    refuses(NotAllowed, "template t is private to account rival and not shared with account acme; choose", private)
    data = a_cloud(but(Template, "t", bootable=False))
    refuses(InvalidRequest, "template t is not bootable; choose another to start the VM from", data)
    far = a_cloud(but(Template, "t", zone_ids=("y", "x")))
    refuses(InvalidRequest, "template t is not in zone z but in: y, x; choose one of these", far, zone="z")


def test_refusals_name_the_hypervisor_and_what_to_do() -> None:
    cloud = a_cloud(but(Template, "t", hypervisor="kvm"))
    refuses(InvalidRequest, "template t runs on hypervisor kvm, not xen; leave", cloud, hypervisor="xen")
    refuses(InvalidRequest, "no cluster of zone z has hypervisor kvm; there are: simulator; choose another", cloud)
