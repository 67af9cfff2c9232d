"""Settings: what may be set is set, counts at once and narrowest first; all else is refused and changes nothing.

And the table as a whole: docs/settings.md tells it, and no row of it is there in vain.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import CloudDescription, Engine
from interlock.embed.settings import SetValue
from interlock.schema import settings as table
from interlock.schema.errors import InvalidRequest, NotFound
from interlock.schema.rows import text_of
from interlock.schema.settings import NARROWEST_FIRST, SETTINGS, AnySetting, Setting, SettingScope
from tests.settings_document import document
from tests.world import CLOUD, cloud, world

ROOT = Path(__file__).parent.parent
WRITTEN = ROOT / "docs" / "settings.md"
ROOMS = ("schema", "planners", "drivers", "engine")
"""Where settings are used; the rooms of people only show them."""
PLACE_OF = {"global": None, "zone": "z", "cluster": "c", "storage_pool": "nfs", "account": "system"}
"""A place of each scope, in the cloud of these tests."""
DELAY = table.EXPUNGE_DELAY.name


def values(row: AnySetting) -> st.SearchStrategy[Any]:
    """What a setting may be."""
    if row.choices:
        return st.sampled_from(row.choices)
    if isinstance(row.default, bool):
        return st.booleans()
    if isinstance(row.default, int):
        return st.integers(row.least if isinstance(row.least, int) else 0, int(row.most or 2**40))
    if isinstance(row.default, float):
        return st.floats(float(row.least or 0.0), float(row.most or 1.0))
    return st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=50)


@st.composite
def settable(draw: st.DrawFn) -> tuple[AnySetting, Any]:
    """A setting, and a value that it may have."""
    row = draw(st.sampled_from(sorted(SETTINGS.values(), key=lambda each: each.name)))
    return row, draw(values(row))


async def in_force(engine: Engine, name: str) -> tuple[SetValue, ...]:
    """The values of one setting."""
    return next(each.values for each in await engine.settings() if each.name == name)


# --- a value


@given(settable())
def test_what_a_setting_may_be_is_read_from_the_text_that_says_it(drawn: tuple[AnySetting, Any]) -> None:
    row, value = drawn
    said = value if isinstance(value, str) else text_of(value)
    read = row.parse(said)
    assert read == value and type(read) is type(row.default)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_what_the_setting_may_be(name: str) -> None:
    row = SETTINGS[name]
    assert row.parse(row.default if isinstance(row.default, str) else text_of(row.default)) == row.default


@pytest.mark.parametrize(
    ("row", "text", "allowed"),
    [
        (table.EXPUNGE_DELAY, "-2", "a whole number, at least -1"),
        (table.EXPUNGE_DELAY, "1.5", "a whole number, at least -1"),
        (table.EXPUNGE_DELAY, "true", "a whole number, at least -1"),
        (table.EXPUNGE_DELAY, "", "a whole number, at least -1"),
        (table.USER_DATA_MOST, "1048577", "a whole number, 0 to 1048576"),
        (table.CPU_THRESHOLD, "1.01", "a number, 0.0 to 1.0"),
        (table.CPU_THRESHOLD, "NaN", "a number, 0.0 to 1.0"),
        (table.CPU_THRESHOLD, "true", "a number, 0.0 to 1.0"),
        (table.LAST_HOST, "1", "true or false"),
        (table.LAST_HOST, "yes", "true or false"),
        (table.NAME_SCOPE, "moon", "one of none, network, account, domain, global"),
        (table.INSTANCE_SUFFIX, "", "a text on one line"),
        (table.INSTANCE_SUFFIX, "a\nb", "a text on one line"),
    ],
    ids=str,
)
def test_what_a_setting_may_not_be_is_refused_with_what_it_may_be(row: Setting[Any], text: str, allowed: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        row.parse(text)
    assert str(refused.value) == f"setting {row.name} is {allowed}, not {text!r}"


# --- the engine's


async def test_every_setting_is_listed_with_what_is_set_the_widest_first(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        listed = await lab.engine.settings()
        assert [each.name for each in listed] == list(SETTINGS)
        for each in listed:
            row = SETTINGS[each.name]
            assert (each.default, each.allowed, each.meaning, each.scopes, each.values) == (
                row.default, row.allowed, row.meaning, row.scopes, ()
            )  # fmt: skip
        await lab.engine.set_setting(DELAY, 5, scope="account", place="system")
        await lab.engine.set_setting(DELAY, 7)
        assert [(each.scope, each.place, each.value) for each in await in_force(lab.engine, DELAY)] == [
            ("global", None, 7),
            ("account", "system", 5),
        ]


@settings(max_examples=6)
@given(st.lists(st.tuples(settable(), st.booleans()), min_size=1, max_size=12), st.randoms())
def test_what_is_set_counts_at_once_narrowest_first_and_survives_the_engine(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[tuple[AnySetting, Any], bool]], random: Any
) -> None:
    """Against a model: a dictionary of what was set and not taken back."""
    model: dict[tuple[str, SettingScope], Any] = {}

    async def live(folder: Path) -> None:
        async with world(folder) as lab:
            for (row, value), unset in drawn:
                scope = random.choice(row.scopes)
                where = {"scope": scope.value, "place": PLACE_OF[scope]}
                await lab.engine.set_setting(row.name, value, **where)
                model[row.name, scope] = value
                if unset:
                    await lab.engine.unset_setting(row.name, **where)
                    del model[row.name, scope]
                _counts(lab.engine, row, model)
        async with world(folder) as lab:
            for (row, _), _ in drawn:
                _counts(lab.engine, row, model)
                assert {(row.name, each.scope): each.value for each in await in_force(lab.engine, row.name)} == {
                    key: value for key, value in model.items() if key[0] == row.name
                }

    asyncio.run(live(tmp_path_factory.mktemp("settings")))


def _counts(engine: Engine, row: Setting[Any], model: dict[tuple[str, SettingScope], Any]) -> None:
    """What the core is told is the narrowest value of the model, else the default."""
    places = [(SettingScope(scope), place) for scope, place in PLACE_OF.items() if place is not None]
    inventory = engine._orchestrator.commits.inventory
    found = [model[row.name, scope] for scope in NARROWEST_FIRST if (row.name, scope) in model]
    assert inventory.setting(row, *places) == [*found, row.default][0]


@pytest.mark.parametrize(
    ("name", "value", "where", "error", "words"),
    [
        ("nix", 1, {}, NotFound, "there is no setting 'nix'; `interlock settings` lists them"),
        (DELAY, "5", {}, InvalidRequest, "setting expunge.delay is a whole number, at least -1, not '5'"),
        (DELAY, -2, {}, InvalidRequest, "setting expunge.delay is a whole number, at least -1, not '-2'"),
        (DELAY, True, {}, InvalidRequest, "setting expunge.delay is a whole number"),
        ("instance.name", 5, {}, InvalidRequest, "setting instance.name is a text on one line, not 5"),
        (DELAY, 5, {"scope": "zone", "place": "z"}, InvalidRequest, "is set for global, account, not for a zone"),
        (DELAY, 5, {"scope": "moon"}, InvalidRequest, "there is no scope 'moon'; the scopes are global, zone"),
        (DELAY, 5, {"place": "system"}, InvalidRequest, "scope global is for everywhere, not for system"),
        (DELAY, 5, {"scope": "account"}, InvalidRequest, "scope account wants a place: which account?"),
        (DELAY, 5, {"scope": "account", "place": "z"}, NotFound, "there is no account 'z'; there are: "),
        (
            "volume.create.full.clone",
            False,
            {"scope": "storage_pool", "place": "tape"},
            NotFound,
            "there is no storage pool 'tape'; there are: nfs, san",
        ),
    ],
)
async def test_what_cannot_be_set_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, value: Any, where: dict[str, str], error: type[InvalidRequest], words: str
) -> None:
    async with world(tmp_path) as lab:
        before = await lab.engine.settings()
        with pytest.raises(error, match=re.escape(words)):
            await lab.engine.set_setting(name, value, **where)
        assert await lab.engine.settings() == before


async def test_what_is_not_set_cannot_be_taken_back(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.engine.set_setting(DELAY, 5)
        with pytest.raises(NotFound, match=r"expunge\.delay is not set for account system: there is nothing"):
            await lab.engine.unset_setting(DELAY, scope="account", place="system")
        with pytest.raises(NotFound, match="there is no setting"):
            await lab.engine.unset_setting("nix")
        await lab.engine.unset_setting(DELAY)
        with pytest.raises(NotFound, match=r"expunge\.delay is not set: there is nothing"):
            await lab.engine.unset_setting(DELAY)


async def test_settings_set_at_the_same_time_all_count(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        places = [("zone", "z"), ("cluster", "c"), ("global", None)]
        await asyncio.gather(
            *(
                lab.engine.set_setting(table.CPU_THRESHOLD.name, share / 10, scope=scope, place=place)
                for share, (scope, place) in enumerate(places)
            ),
            lab.engine.load(cloud()),
        )
        found = lab.engine._orchestrator.commits.inventory
        where = ((SettingScope.ZONE, "z"), (SettingScope.CLUSTER, "c"))
        assert [found.setting(table.CPU_THRESHOLD, *where[:count]) for count in (0, 1, 2)] == [0.2, 0.0, 0.1]


async def test_a_setting_decides_on_the_next_request(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.engine.set_setting(table.PLANNER.name, "dispersing")
        await lab.deploy()
        assert (await lab.vm()).planner == "dispersing"
        await lab.engine.unset_setting(table.PLANNER.name)
        await lab.deploy("other")
        assert (await lab.vm("other")).planner == "first-fit"


async def test_it_works_the_same_on_both_databases(database_url: str, tmp_path: Path) -> None:
    async with world(tmp_path, url=database_url) as lab:
        await lab.engine.set_setting(DELAY, 9, scope="account", place="system")
        await lab.engine.set_setting(DELAY, 10, scope="account", place="system")
        (only,) = await in_force(lab.engine, DELAY)
        assert only.value == 10
        await lab.engine.unset_setting(DELAY, scope="account", place="system")
        assert await in_force(lab.engine, DELAY) == ()


async def test_loading_a_cloud_keeps_what_it_does_not_speak_of(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        await lab.engine.set_setting(DELAY, 9)
        await lab.engine.set_setting("instance.name", "X")
        text = CLOUD.format(hosts=2, memory=8192, space=100_000)
        await lab.engine.load(CloudDescription.parse(f'{text}\n[settings]\n"instance.name" = "Y"\n'))
        assert [each.value for each in await in_force(lab.engine, DELAY)] == [9]
        assert [each.value for each in await in_force(lab.engine, "instance.name")] == ["Y"]


# --- the table


def test_the_document_is_what_the_table_says() -> None:
    assert WRITTEN.read_text() == document(), "run: python -m tests.settings_document > docs/settings.md"


def test_the_command_that_makes_it_works() -> None:
    command = [sys.executable, "-m", "tests.settings_document"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == document()


def test_every_setting_that_is_declared_is_in_the_table() -> None:
    declared = [each for each in vars(table).values() if isinstance(each, Setting)]
    assert declared == list(SETTINGS.values())


CONSTANTS = {row.name: name for name, row in vars(table).items() if isinstance(row, Setting)}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_used(name: str) -> None:
    """By its constant, somewhere besides the table and the imports of it."""
    own = ROOT / "schema" / "settings.py"
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path != own]
    used = re.compile(rf"\b{CONSTANTS[name]}\b")
    imports = re.compile(r"^from interlock\.schema\.settings import (\([^)]*\)|[^(\n]*)$", re.MULTILINE)
    texts = (imports.sub("", path.read_text()) for path in files)
    assert any(used.search(text) for text in texts), f"nothing uses {CONSTANTS[name]} ({name})"
