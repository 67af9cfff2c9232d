"""Own planners, gurus and drivers: found by entry point or handed in as objects, and refused with words when wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock import Engine
from interlock.planners.first_fit import FirstFit
from interlock.schema.errors import NotFound, PluginError
from tests.world import world

MODULE = '''
from interlock.planners.fitting import first_that_fits

class Backwards:
    """Hosts from the last to the first."""

    def plan(self, demand, cloud):
        return first_that_fits(reversed(list(cloud.hosts(demand.zone_id))), demand, cloud)

class Empty:
    """No planner at all."""
'''


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A distribution of somebody else's, installed as far as entry points go."""
    folder = tmp_path / "site"
    facts = folder / "theirs-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "theirs.py").write_text(MODULE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[interlock.planners]\nbackwards = theirs:Backwards\n")
    sys.path.insert(0, str(folder))
    yield facts
    sys.path.remove(str(folder))
    sys.modules.pop("theirs", None)


async def test_an_installed_planner_is_found_by_its_entry_point(tmp_path: Path, installed: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.deploy("first")
        await lab.deploy("second", planner="backwards")
        assert (await lab.vm("first")).host_id == "h-1"
        assert (await lab.vm("second")).host_id == "h-2"


@pytest.mark.parametrize(
    ("entry", "words"), [("theirs:Nothing", "cannot be made"), ("theirs:Empty", "lacks plan of HostPlanner")]
)
async def test_an_installed_planner_that_is_none_is_refused(
    tmp_path: Path, installed: Path, entry: str, words: str
) -> None:
    (installed / "entry_points.txt").write_text(f"[interlock.planners]\nbackwards = {entry}\n")
    with pytest.raises(PluginError, match=words):
        async with Engine.open(str(tmp_path / "x.db")):
            pass


async def test_an_own_planner_hides_an_installed_one_of_its_name(tmp_path: Path) -> None:
    asked = []

    class Mine(FirstFit):
        def plan(self, demand, cloud):  # type: ignore[no-untyped-def]
            asked.append(demand.vm_id)
            return super().plan(demand, cloud)

    async with world(tmp_path) as lab:
        await lab.deploy()
    async with world(tmp_path, planners={"first-fit": Mine()}) as lab:
        await lab.run("stop")
        await lab.run("start")
        assert asked == [(await lab.vm()).id]


async def test_a_planner_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        with pytest.raises(
            NotFound, match="there is no planner 'best'; there are: concentrating, dispersing, first-fit"
        ):
            await lab.deploy(planner="best")
