"""Reports, in any order and however often: none stops a healthy VM, old ones lose, and the same again costs nothing.

The first half holds `Hearsay` alone to a plain model. The second has a real engine on a real simulator, which tells
whatever Hypothesis makes up beside the truth. The third counts SQL on both databases.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.drivers.simulator import Power as Truth
from interlock.engine.orchestrator.hearsay import KEPT, Hearsay, News
from interlock.engine.orchestrator.words import Words
from interlock.schema.reports import GuestEvent, HostBack, HostLost, HostReport, Power, Report
from tests.postgres import Server
from tests.test_reconciliation import asked, settled, up, where
from tests.test_store_idle import (
    on_postgresql,
    on_sqlite,
    statements,  # noqa: F401 - a fixture
)
from tests.world import World, cloud, world

EPOCHS, TIMES = st.integers(1, 3), st.integers(0, 9)
POWERS = st.sampled_from(Power)
UP_OR_OFF = st.sampled_from([Power.ON, Power.PAUSED, Power.OFF])


def reports_of(hosts: Any, guests: Any, times: Any = TIMES) -> st.SearchStrategy[Report]:
    """Anything that may be told of these."""
    seen = {"host_id": hosts, "epoch": EPOCHS, "observed_at": times}
    return st.one_of(
        st.builds(HostReport, **seen, guests=st.dictionaries(guests, UP_OR_OFF, max_size=3)),
        st.builds(GuestEvent, **seen, guest_id=guests, power=POWERS),
        st.builds(HostLost, **seen),
        st.builds(HostBack, **seen),
    )


HOST: dict[str, Any] = {"host_id": "h", "epoch": 1}


# What is news


@settings(max_examples=200, deadline=None)
@given(st.lists(reports_of(st.just("h"), st.sampled_from(["a", "b"])), max_size=12))
def test_of_two_observations_of_one_host_the_older_loses(told: list[Report]) -> None:
    """In whatever order they come, what is believed of each guest in the end is what the newest one says."""
    hearsay, believed, newest = Hearsay(), dict[str, Power](), dict[str, tuple[int, int]]()
    hearsay.report(HostReport(host_id="h", epoch=0, observed_at=0, guests={}))
    for each in told:
        gone = False
        if isinstance(each, GuestEvent):
            news = {each.guest_id: each.power} if hearsay.event(each) else {}
            about: dict[str, Power] = {each.guest_id: each.power}
        elif isinstance(each, HostReport):
            found = News({}, False) if hearsay.is_old(each) else hearsay.report(each)
            news, gone = dict(found.guests), found.some_gone
            about = {guest: each.guests.get(guest, Power.ABSENT) for guest in ("a", "b")}
        else:
            hearsay.is_old(each)
            newest = {guest: max(each.mark, newest.get(guest, each.mark)) for guest in ("a", "b")}
            continue
        expected = {}
        for guest, power in about.items():
            if each.mark >= newest.get(guest, each.mark):
                newest[guest] = each.mark
                if believed.get(guest, Power.ABSENT) is not power:
                    expected[guest] = power
                believed[guest] = power
        if isinstance(each, HostReport):
            assert gone == (Power.ABSENT in expected.values()), each
            expected = {guest: power for guest, power in expected.items() if power is not Power.ABSENT}
        assert news == expected, each


@given(st.lists(reports_of(st.sampled_from(["h", "i"]), st.sampled_from(["a", "b"])), max_size=8))
def test_what_was_told_is_no_news_when_it_is_told_again(told: list[Report]) -> None:
    hearsay = Hearsay()
    for each in told:
        for again in (False, True):
            if isinstance(each, HostReport) and not hearsay.is_old(each):
                news = hearsay.report(each)
                assert not (again and (news.guests or news.some_gone))
            elif isinstance(each, GuestEvent) and hearsay.knows(each.host_id):
                assert not (hearsay.event(each) and again)


@given(
    st.dictionaries(st.text(max_size=3), POWERS),
    st.lists(st.tuples(st.text(max_size=3), POWERS)),
    st.sets(st.text(max_size=3)),
)
def test_words_are_a_dictionary_whose_keys_cannot_be_listed(
    told: dict[str, Power], changed: list[tuple[str, Power]], asked: set[str]
) -> None:
    words, model = Words(told), dict(told)
    for guest, power in changed:
        words.put(guest, power)
        model[guest] = power
    there = {guest for guest, power in model.items() if power is not Power.ABSENT}
    assert len(words) == len(there)
    assert {guest: words.get(guest) for guest in model | dict.fromkeys(asked)} == {
        guest: model.get(guest, Power.ABSENT) for guest in model | dict.fromkeys(asked)
    }
    assert words.has_others(asked) == bool(there - asked)


def test_guests_that_come_and_go_leave_nothing_on_a_host_that_never_reports() -> None:
    hearsay = Hearsay()
    told = [
        GuestEvent(**HOST, observed_at=2 * number + at, guest_id=f"{number}", power=power)
        for number in range(3 * KEPT)
        for at, power in enumerate((Power.ON, Power.ABSENT))
    ]
    assert all(map(hearsay.event, told))
    assert len(hearsay._events["h"]) == KEPT
    assert not hearsay.event(told[-2]), "of the last ones it is known what is old"


def test_what_is_known_of_a_guest_takes_eight_bytes() -> None:
    words = Words({f"guest-{number}": Power.ON for number in range(10_000)})
    assert len(words) == 10_000 and words._prints.itemsize == 8
    assert set(vars(words)) == {"_prints"}


# Healthy VMs

FOREVER = st.integers(0, 4_000_000_000_000_000)
"""From long ago to long after this test: clocks of hosts may be anywhere."""
ANY_HOST = st.sampled_from(["h-1", "h-2", "h-3", "h-9"])
LIES = st.lists(reports_of(ANY_HOST, st.sampled_from([0, 1, 2]), FOREVER), max_size=15)


@settings(max_examples=15, deadline=None)
@given(lies=LIES, repeated=st.integers(1, 3), moved=st.booleans())
def test_no_sequence_of_reports_stops_a_healthy_vm(lies: list[Report], repeated: int, moved: bool) -> None:
    """Two VMs run, one was stopped, one is a stranger that never was; hosts say whatever they like."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with world(Path(folder), description=cloud(hosts=3)) as lab:
                ids = [await up(lab, name) for name in ("web", "two")]
                if moved:
                    await lab.simulator.move(ids[0], "h-3")
                    await settled(lab)
                before = {name: await where(lab, name) for name in ("web", "two")}
                healthy = [(each.vm_id, each.host_id, each.boots) for each in (await lab.simulator.world()).domains]
                guests = [*ids, "stranger"]
                lab.simulator.tales.retell([named(each, guests) for each in lies for _ in range(repeated)])
                await settled(lab)
                assert {name: await where(lab, name) for name in ("web", "two")} == before
                truth = (await lab.simulator.world()).domains
                assert [(each.vm_id, each.host_id, each.boots) for each in truth] == healthy
                assert {each.power for each in truth} == {Truth.ON}
                await lab.assert_sound()

    asyncio.run(run())


def named(report: Report, guests: list[str]) -> Report:
    """With the names of real guests, which are not known when it is made up."""
    if isinstance(report, HostReport):
        named = {guests[int(number)]: power for number, power in report.guests.items()}
        return msgspec.structs.replace(report, guests=named)
    if isinstance(report, GuestEvent):
        return msgspec.structs.replace(report, guest_id=guests[int(report.guest_id)])
    return report


@pytest.mark.parametrize("way", ["quarantine", "end"])
async def test_lies_about_a_healthy_vm_do_not_harm_it_though_strays_are_to_go(tmp_path: Path, way: str) -> None:
    async with world(tmp_path, description=cloud(hosts=3)) as lab:
        await lab.engine.set_setting("vm.unknown.domain", way)
        vm_id = await up(lab)
        for host, powers in (("h-1", (Power.OFF, Power.ABSENT)), ("h-2", (Power.ON, Power.OFF)), ("h-3", (Power.ON,))):
            for at, power in enumerate(powers):
                event = GuestEvent(host_id=host, epoch=9, observed_at=at, guest_id=vm_id, power=power)
                lab.simulator.tales.retell([event])
                await settled(lab)
        assert len(await asked(lab)) >= 3, "the lies were looked at"
        assert await where(lab) == ("Running", "h-1")
        await lab.assert_sound()


async def test_reports_from_before_a_restart_of_the_host_lose(tmp_path: Path, database_url: str) -> None:
    async with world(tmp_path, url=database_url) as lab:
        vm_id = await up(lab)
        await lab.simulator.report("h-1")
        old = [each for each in lab.simulator.tales.told if isinstance(each, HostReport)]
        await lab.simulator.lose("h-1", dies=True)
        await settled(lab)
        await lab.simulator.bring_back("h-1")
        await settled(lab)
        assert await where(lab) == ("Stopped", None)
        done = len(await asked(lab))
        lab.simulator.tales.retell(old)
        await settled(lab)
        assert old[-1].guests == {vm_id: Power.ON}
        assert len(await asked(lab)) == done, "not even looked at"
        assert await where(lab) == ("Stopped", None)


# What it costs


async def test_the_same_report_again_runs_no_sql(
    files: Path,
    server: Server,
    tmp_path: Path,
    statements: list[str],  # noqa: F811
) -> None:
    for name in ("sqlite", "postgresql"):
        (tmp_path / name).mkdir()
    async with (
        on_sqlite(files, tmp_path, statements) as (one, one_mark),
        on_postgresql(server, tmp_path) as (other, other_mark),
    ):
        for lab in (one, other):
            await _differing(lab)
        told = [last_reports(lab) for lab in (one, other)]
        before = await one_mark(), await other_mark()
        for lab, reports in zip((one, other), told, strict=True):
            assert sum(len(each.guests) for each in reports) == 3
            for _ in range(50):
                lab.simulator.tales.retell(reports)
            assert lab.engine._orchestrator.reconciliation.under_way == ()
        await asyncio.sleep(0.3)
        assert (await one_mark(), await other_mark()) == before


def last_reports(lab: World) -> list[HostReport]:
    """Of both hosts."""
    return [each for each in lab.simulator.tales.told if isinstance(each, HostReport)][-2:]


async def _differing(lab: World) -> None:
    """A VM that runs, a stranger, and one that came back: all told and dealt with, and the last two there still."""
    await up(lab, "web")
    vm_id = await up(lab, "two")
    await lab.run("stop", "two")
    await lab.simulator.appear(vm_id, "h-2")
    await lab.simulator.appear("stranger", "h-2")
    for _ in range(2):
        await lab.simulator.report()
        await settled(lab)
    assert len(await lab.engine.strays()) == 2
