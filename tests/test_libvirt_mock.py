"""The libvirt driver's errors, events and connections, on test:///default: libvirt's mock, which needs no daemon."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from interlock.drivers.libvirt import Libvirt
from interlock.drivers.libvirt.boundary import lib
from interlock.drivers.libvirt.gate import Gate, GivenUp, guarded
from interlock.drivers.libvirt.link import Trouble
from interlock.drivers.libvirt.metadata import uuid_of
from interlock.drivers.libvirt.options import Options, read
from interlock.drivers.libvirt.refusals import CODES, kind_of
from interlock.drivers.libvirt.registry import Registry
from interlock.drivers.protocol import Driver, Home, Reporter
from interlock.schema import commands as c
from interlock.schema.commands import Done, Refusal, Refused, Scope
from interlock.schema.errors import EngineClosed, PluginError
from interlock.schema.reports import Found, GuestEvent, HostBack, HostLost, Power, Report
from interlock.testing import Scene
from interlock.testing.kits.scene import a_host, a_pool
from tests.postgres import absent

HOST = "kit-host-1"
SCENE = Scene(hosts=(a_host(HOST),), pools=(a_pool("kit-pool-1"),))
LOOK = c.LookForDomain(driver="kit", at=HOST, vm_id="kit-vm1", subject="vm kit-vm1")


@pytest.fixture(autouse=True)
def _installed() -> None:
    try:
        lib()
    except PluginError as reason:
        absent(str(reason))


def bare(vm: int = 1) -> c.StartDomain:
    """A guest without disks and NICs: the mock has none of ours."""
    return replace(SCENE.start(vm), nics=(), volumes=())


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Libvirt]:
    made = await Libvirt.open({"uri": "test:///default", "call_within_s": 2}, Home(tmp_path, "kit"))
    await made.attach(SCENE.hosts, ())
    yield made
    await made.close()


async def say(driver: Driver, command: c.AnyCommand, token: str, fence: int = 1) -> c.Outcome:
    return await driver.perform(command, token=token, fence=fence)


async def test_it_is_a_driver_that_reports(driver: Libvirt) -> None:
    assert isinstance(driver, Driver)
    assert isinstance(driver, Reporter)


async def test_a_life(driver: Libvirt) -> None:
    assert await say(driver, LOOK, "1") == Done(found=Found(Power.ABSENT))
    assert await say(driver, bare(), "2", 2) == Done()
    assert await say(driver, LOOK, "3", 3) == Done(found=Found(Power.ON))
    quarantine = c.QuarantineDomain(driver="kit", at=HOST, vm_id="kit-vm1", subject="vm kit-vm1")
    assert await say(driver, quarantine, "4", 4) == Done()
    assert await say(driver, LOOK, "5", 5) == Done(found=Found(Power.PAUSED))
    assert await say(driver, SCENE.stop(), "6", 6) == Done()
    assert await say(driver, LOOK, "7", 7) == Done(found=Found(Power.ABSENT))


async def test_who_has_lost_the_registry_still_finds_the_fence_in_the_domain(driver: Libvirt, tmp_path: Path) -> None:
    """A worker of another machine has a registry of its own; the domain's metadata holds for both."""
    assert await say(driver, bare(), "1", 20) == Done()
    other = await Libvirt.open({"uri": "test:///default", "registry": "other"}, Home(tmp_path, "kit"))
    await other.attach(SCENE.hosts, ())
    try:
        for late in (SCENE.stop(), bare(), LOOK):
            outcome = await say(other, late, f"late {type(late).__name__}", 19)
            assert isinstance(outcome, Refused)
            assert (outcome.kind, outcome.scope) == (Refusal.PERMANENT, Scope.VM)
            assert "knows 20" in outcome.reason
        assert await say(driver, LOOK, "2", 21) == Done(found=Found(Power.ON))
    finally:
        assert await say(other, SCENE.stop(), "end", 30) == Done()
        await other.close()


async def test_what_happens_outside_is_told(driver: Libvirt) -> None:
    told: list[Report] = []
    stop = driver.listen(told.append)
    assert await say(driver, bare(), "1") == Done()
    await heard(told, 1)
    connection = lib().open("test:///default")
    domain = connection.lookupByUUIDString(uuid_of("kit-vm1"))
    domain.suspend()
    domain.resume()
    domain.destroy()
    await heard(told, 4)
    domain.undefine()
    await heard(told, 5)
    stop()
    events = [each for each in told if isinstance(each, GuestEvent)]
    assert [each.power for each in events] == [Power.ON, Power.PAUSED, Power.ON, Power.OFF, Power.ABSENT]
    assert {each.guest_id for each in events} == {"kit-vm1"}
    assert events == sorted(events, key=lambda each: each.mark)
    connection.close()


async def test_a_stranger_is_told_of_and_can_be_looked_for(driver: Libvirt) -> None:
    [report] = await driver.survey()
    assert report.host_id == HOST
    [stranger] = report.guests  # test:///default begins with a domain of its own
    assert stranger.startswith("libvirt:")
    look = c.LookForDomain(driver="kit", at=HOST, vm_id=stranger, subject=f"vm {stranger}")
    assert await say(driver, look, "1") == Done(found=Found(Power.ON))


async def heard(told: list[Report], many: int) -> None:
    async with asyncio.timeout(5):
        while len(told) < many:
            await asyncio.sleep(0.01)


# Connections


async def test_a_call_that_hangs_is_given_up_and_the_next_has_another_connection(
    driver: Libvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hung one holds up nobody, its outcome is unknown, and nothing of its job goes out later."""
    assert await say(driver, LOOK, "1") == Done(found=Found(Power.ABSENT))
    told: list[Report] = []
    driver.listen(told.append)
    hang, names = threading.Event(), list[str]()

    def watch(name: str) -> None:
        names.append(name)
        if name == "defineXMLFlags" and names.count(name) == 1:
            hang.wait(30)

    monkeypatch.setattr(Gate, "watch", staticmethod(watch))
    began = time.monotonic()
    site = driver._places.sites[HOST]
    monkeypatch.setattr(Gate, "overdue", _short(Gate.overdue))
    outcome = await say(driver, bare(), "2", 2)
    assert time.monotonic() - began < 5
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.UNKNOWN
    assert "gave no answer" in outcome.reason
    assert any(isinstance(each, HostLost) for each in told)
    assert await say(driver, LOOK, "3", 3) == Done(found=Found(Power.ABSENT)), "another connection"
    assert any(isinstance(each, HostBack) for each in told)
    hang.set()
    await asyncio.sleep(0.1)
    assert names == ["defineXMLFlags"], "what came after the one that hung never went out"
    assert site.link.is_up
    assert await say(driver, SCENE.stop(), "4", 4) == Done()


def _short(overdue: Any) -> Any:
    return lambda self, within: overdue(self, min(within, 0.3))


async def test_a_host_that_cannot_be_reached_is_transient(tmp_path: Path) -> None:
    made = await Libvirt.open({"uri": "qemu:///system?socket=/nowhere/at-all"}, Home(tmp_path, "kit"))
    await made.attach(SCENE.hosts, ())
    outcome = await say(made, LOOK, "1")
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.scope) == (Refusal.TRANSIENT, Scope.HOST)
    assert "cannot be reached" in outcome.reason
    assert await made.survey() == []
    await made.close()


async def test_a_host_that_nobody_can_ask_is_not_said_to_be_free_of_a_guest(tmp_path: Path) -> None:
    """Its URI has gone from the options; the guest has not."""
    made = await Libvirt.open({}, Home(tmp_path, "kit"))
    await made.attach(SCENE.hosts, SCENE.pools)
    for undo in (SCENE.stop(), SCENE.delete(), SCENE.unplug_volume()):
        outcome = await say(made, undo, type(undo).__name__)
        assert isinstance(outcome, Refused)
        assert outcome.kind is Refusal.PERMANENT
    await made.close()


async def test_what_is_cut_off_after_something_was_done_is_unknown(
    driver: Libvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last job had done nothing when it was cut off; but one before it had."""
    assert await say(driver, bare(), "1") == Done()
    site, run = driver._places.sites[HOST], driver._places.sites[HOST].link.run
    jobs: list[object] = []

    async def broken(job: Any, within: float | None = None) -> Any:
        jobs.append(job)
        if len(jobs) == 2:
            raise Trouble(Refusal.TRANSIENT, "cut off")
        return await run(job, within)

    monkeypatch.setattr(site.link, "run", broken)
    outcome = await say(driver, SCENE.stop(), "2", 2)
    assert len(jobs) == 2
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.UNKNOWN
    assert await say(driver, SCENE.stop(), "2", 2) == Done()


async def test_a_start_that_fails_leaves_nothing(driver: Libvirt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defined, and then not to be started: the domain is taken away again, so nothing has happened."""

    def watch(name: str) -> None:
        if name == "createWithFlags":
            raise an_error(lib().VIR_ERR_INTERNAL_ERROR)

    monkeypatch.setattr(Gate, "watch", staticmethod(watch))
    outcome = await say(driver, bare(), "1")
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.TRANSIENT
    assert await say(driver, LOOK, "2", 2) == Done(found=Found(Power.ABSENT))


async def test_two_hosts_never_share_a_connection(tmp_path: Path) -> None:
    made = await Libvirt.open({"uri": "test:///default"}, Home(tmp_path, "kit"))
    await made.attach((a_host("one"), a_host("two")), ())
    outcome = await say(made, replace(LOOK, at="two"), "1")
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.PERMANENT
    assert "which is host one already" in outcome.reason
    await made.close()


async def test_closing_leaves_nothing_and_refuses_what_comes_later(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    made = await Libvirt.open({"uri": "test:///default"}, Home(tmp_path, "kit"))
    await made.attach(SCENE.hosts, ())
    await say(made, LOOK, "1")
    await made.close()
    await made.close()
    with pytest.raises(EngineClosed):
        await say(made, LOOK, "2")
    async with asyncio.timeout(5):
        while set(threading.enumerate()) - before:
            await asyncio.sleep(0.01)


# Errors


def an_error(code: int) -> Exception:
    error: Exception = lib().libvirtError("it went wrong")
    error.err = (code, 0, "it went wrong", 0, None, None, None, 0, 0)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("name", CODES)
def test_each_code_of_the_table_is_libvirts(name: str) -> None:
    assert kind_of(an_error(getattr(lib(), f"VIR_ERR_{name}")), touched=True) is CODES[name]


def test_a_code_that_nobody_knows_is_unknown_once_something_went_out() -> None:
    assert kind_of(an_error(lib().VIR_ERR_INTERNAL_ERROR), touched=True) is Refusal.UNKNOWN
    assert kind_of(an_error(987_654), touched=True) is Refusal.UNKNOWN
    assert kind_of(an_error(987_654), touched=False) is Refusal.TRANSIENT


async def test_what_libvirt_refuses_is_said_with_its_reason(driver: Libvirt, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await say(driver, bare(), "1") == Done()
    other = replace(bare(2), instance_name=bare().instance_name)  # one name for two domains
    outcome = await say(driver, other, "2")
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.PERMANENT
    assert "already exists" in outcome.reason


def test_a_gate_knows_what_changes_something() -> None:
    gate = Gate()
    connection = guarded(lib().open("test:///default"), gate)
    for domain in connection.listAllDomains(0):
        domain.XMLDesc(0), domain.state(0), domain.UUIDString()
    assert not gate.touched
    with pytest.raises(lib().libvirtError):
        connection.defineXMLFlags("<nonsense/>", 0)
    assert gate.touched
    gate.given_up = True
    with pytest.raises(GivenUp):
        connection.getType()


# Options and the registry


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "test:///default"}, "url"),
        ({"uri": "localhost"}, "no libvirt URI"),
        ({"calls_at_once": 0}, "calls_at_once"),
        ({"networks": {"n": {"network": "a", "bridge": "b"}}}, "one of `network` and `bridge`"),
        ({"pools": {"p": {"pool": "p", "type": "netfs", "path": "/p"}}}, "needs `server`, `source`"),
        ({"templates": {"t": {"file": "/t"}}}, "without its `sha256`"),
        ({"templates": {"t": {"file": "/t", "sha256": "abc"}}}, "sha256"),
        ({"boot": "tiny"}, "'tiny' is not in boots"),
    ],
)
async def test_wrong_options_are_refused_and_named(wrong: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as error:
        await Libvirt.open(wrong, Home(tmp_path, "kit"))
    assert says in str(error.value)
    assert not list(tmp_path.iterdir())


def test_options_are_all_optional() -> None:
    assert read({}) == Options()


def test_the_registry_holds_the_highest_fence_and_outlives_its_process(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "r")
    assert registry.arrive(["vm 1", "nic 2"], 5, "a") == ("", None)
    registry.done("a", "gist")
    late, _ = registry.arrive(["vm 1"], 4, "b")
    assert "5 was seen" in late
    registry.close()
    again = Registry(tmp_path / "r")
    assert again.arrive(["nic 2"], 5, "a") == ("", "gist")
    assert "5 was seen" in again.arrive(["vm 1"], 4, "c")[0]
    again.close()
    with sqlite3.connect(tmp_path / "r") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
