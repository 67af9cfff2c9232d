"""Several engines on one PostgreSQL: who hears what of whom, who takes what, and who takes over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock import DeployVM, Engine
from tests.bare import bare, value
from tests.conftest import copied_database
from tests.postgres import Server
from tests.world import QUICK, cloud, world


@pytest.fixture
async def url(server: Server):
    """An empty PostgreSQL database."""
    async with copied_database(server, None) as made:
        yield made


async def test_what_is_only_asked_for_is_driven_by_one_that_serves(tmp_path: Path, url: str) -> None:
    async with (
        world(tmp_path, url=url, description=cloud(hosts=8)) as lab,
        Engine.open(url, drives=False) as asking,
    ):
        handles = [
            await asking.deploy(DeployVM(name=f"vm-{number}", offering="small", template="t")) for number in range(20)
        ]
        assert asking.under_way() == 0
        async with bare(url) as database:
            assert await value(database, "SELECT count(*) FROM operation WHERE worker_id IS NULL") == 20
        async with Engine.open(
            url, serves=True, in_flight=4, drivers={"simulator": lab.simulator}, policy=QUICK
        ) as worker:
            ends = await asyncio.wait_for(asyncio.gather(*(handle.ended() for handle in handles)), 60)
            assert {end.state for end in ends} == {"Succeeded"}
            assert worker.counters.decisions >= 60
        await lab.assert_sound()
