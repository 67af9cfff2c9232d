"""The documentation is true: links resolve, names exist, code runs, and what is copied from the code equals it.

A Python block marked `runnable` is a whole program, one marked `inside` the body of an open engine with the example
cloud loaded; both run as printed, in a folder that has `examples/`. One marked `kit` is a test module, run by pytest
beside the programs of docs/plugins.md, each in a file of its class's name, and the page's `module` blocks, each in the
file that its first line names. One marked `broken` must fail, and say what the `text said` block after it says. A TOML
block marked `runnable` loads. A Python block marked `postgresql` is a whole program, with a database in INTERLOCK_DB.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

import interlock
from interlock import CloudDescription, DeployVM, Engine, Policy
from interlock.drivers.simulator import Simulator
from interlock.drivers.simulator.options import Options
from interlock.embed.description import tables, words
from interlock.engine.core.operations import PROGRAMS
from interlock.engine.orchestrator import effects, elsewhere, lease, tasks
from interlock.engine.store import opening, writer
from interlock.schema.cloud import AFFINITIES, Host, StoragePool
from interlock.schema.commands import COMMANDS, AnyCommand, Outcome
from interlock.schema.interlocks import INTERLOCKS, Holds, HoldsNo, Need

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
)
BLOCK = re.compile(r"^```(\w*)[ ]?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MADE = "benchmarks/results"
"""What running the benchmarks makes; it is not in the repository."""
FILE = re.compile(
    r"`((?:schema|planners|drivers|engine|interlock|tests|docs|examples|benchmarks)/[\w./-]*)(?:::(\w+))?`"
)
MODULE = re.compile(r"`(interlock\.(?:schema|planners|drivers|engine|embed|cli|pictures)(?:\.\w+)*)`")

every_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    """A page as it stands."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: str) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", text_of(page))


def blocks(page: str, language: str, *marks: str) -> list[tuple[str, str]]:
    """The code blocks of a language that carry one of the marks, each with its mark."""
    found = BLOCK.findall(text_of(page))
    return [(mark, code) for spoken, mark, code in found if spoken == language and mark in marks]


def run(folder: Path, *command: str, code: str | None = None) -> str:
    """Run a program in a folder that has the examples; what it printed."""
    done = finished(folder, *command, code=code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def finished(folder: Path, *command: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it, whatever comes of it."""
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    beside = Path(interlock.__file__).parent.parent
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command or (sys.executable, "-W", "error", "-"),
        input=code,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(beside), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def whole(mark: str, code: str) -> str:
    """The block as a program."""
    if mark == "runnable":
        return code
    return (
        "import asyncio\n"
        "from interlock import CloudDescription, DeployVM, Engine\n"
        "async def main():\n"
        "    async with Engine.open('interlock.db') as engine:\n"
        "        await engine.load(CloudDescription.read('examples/cloud.toml'))\n"
        f"{textwrap.indent(code, ' ' * 8)}"
        "asyncio.run(main())\n"
    )


def programs() -> Iterator[Any]:
    """Every Python block that says it runs."""
    for page in PAGES:
        for number, (mark, code) in enumerate(blocks(page, "python", "runnable", "inside"), 1):
            yield pytest.param(whole(mark, code), id=f"{page}-{number}")


@pytest.mark.parametrize("code", list(programs()))
def test_code_runs_as_printed(code: str, tmp_path: Path) -> None:
    run(tmp_path, code=code)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python", "postgresql")])
def test_code_that_needs_postgresql_runs_as_printed(
    page: str, dialect: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_DB", database_url)
    for _, code in blocks(page, "python", "postgresql"):
        run(tmp_path, code=code)


def kits(mark: str) -> Iterator[Any]:
    """Every test module of a page, with the page."""
    for page in PAGES:
        for number, (_, code) in enumerate(blocks(page, "python", mark)):
            yield pytest.param(page, number, code, id=f"{page}-{number + 1}")


def judged(folder: Path, page: str, code: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of a test module that stands beside the page's modules and the programs of plugins.md."""
    for _, program in blocks("docs/plugins.md", "python", "runnable"):
        [name] = re.findall(r"^class (\w+):", program, re.MULTILINE)
        (folder / f"{name.lower()}.py").write_text(program)
    for _, module in blocks(page, "python", "module"):
        (folder / module.partition("\n")[0].removeprefix("# ")).write_text(module)
    (folder / "test_mine.py").write_text(code)
    plain = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:asyncio")
    return finished(folder, sys.executable, "-m", "pytest", "-q", "-W", "error", *plain, "test_mine.py")


@pytest.mark.parametrize(("page", "number", "code"), list(kits("kit")))
def test_kits_pass_as_printed(page: str, number: int, code: str, tmp_path: Path) -> None:
    done = judged(tmp_path, page, code)
    assert done.returncode == 0 and re.search(r"\d+ passed", done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize(("page", "number", "code"), list(kits("broken")))
def test_what_is_broken_fails_in_the_words_that_are_printed(page: str, number: int, code: str, tmp_path: Path) -> None:
    done = judged(tmp_path, page, code)
    assert done.returncode == 1, done.stdout + done.stderr
    words = [text for _, text in blocks(page, "text", "said")][number]
    for line in words.splitlines():
        assert line in done.stdout, f"{line!r} is not in:\n{done.stdout}"


@every_page
def test_every_python_block_is_marked(page: str) -> None:
    assert not blocks(page, "python", ""), "mark it `runnable` or `inside`, so that it is run"


@every_page
async def test_clouds_load(page: str, tmp_path: Path) -> None:
    for _, text in blocks(page, "toml", "runnable"):
        async with Engine.open(str(tmp_path / "interlock.db")) as engine:
            await engine.load(CloudDescription.parse(text))
            await (await engine.deploy(DeployVM(name="web", offering="small", template="debian-12"))).wait()


# Links and names


def anchors(page: str) -> set[str]:
    """What a link into a page may name, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_relative_links_resolve(page: str) -> None:
    for link in LINK.findall(prose_of(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), f"{link}: no such heading"


@every_page
def test_files_and_tests_that_are_named_exist(page: str) -> None:
    for path, test in FILE.findall(text_of(page)):
        if path.startswith(MADE):
            continue
        assert (ROOT / path).exists(), f"there is no {path}"
        if test:
            assert re.search(rf"^(async )?def {test}\(", text_of(path), re.MULTILINE), f"{path} has no {test}"


@every_page
def test_modules_that_are_named_exist(page: str) -> None:
    for name in MODULE.findall(prose_of(page)):
        import_module(name)


def test_every_decision_is_listed() -> None:
    listed = LINK.findall(text_of("docs/decisions/README.md"))
    assert listed == sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))


# What is copied from the code


def rows(page: str, heading: str, *, table: int = 0) -> list[list[str]]:
    """The rows of a table below a heading, each a list of its cells."""
    section = re.split(r"^## ", text_of(page).partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in tables[table].splitlines()[2:]]


SECTIONS: dict[type[msgspec.Struct], tuple[str, int]] = {
    tables.File: ("## The file", 0),
    tables.ZoneTable: ("### `[[zones]]`", 0),
    tables.NetworkTable: ("### `[[zones.networks]]`", 0),
    tables.RangeTable: ("### `[[zones.networks.ranges]]`", 0),
    tables.PoolTable: ("### `[[zones.pools]]` and `[[zones.pods.clusters.pools]]`", 0),
    tables.PodTable: ("### `[[zones.pods]]`", 0),
    tables.ClusterTable: ("### `[[zones.pods.clusters]]`", 0),
    tables.HostTable: ("### `[[zones.pods.clusters.hosts]]`", 0),
    words.Owner: ("### `dedicated_to`", 0),
    tables.OfferingTable: ("### `[[offerings]]`", 0),
    tables.CoresBetween: ("### `[[offerings]]`", 1),
    tables.MegahertzBetween: ("### `[[offerings]]`", 2),
    tables.MemoryBetween: ("### `[[offerings]]`", 3),
    tables.DiskOfferingTable: ("### `[[disk_offerings]]`", 0),
    tables.TemplateTable: ("### `[[templates]]`", 0),
    tables.AffinityGroupTable: ("### `[[affinity_groups]]`", 0),
    tables.DomainTable: ("### `[[domains]]`", 0),
    tables.AccountTable: ("### `[[accounts]]`", 0),
    words.Limits: ("### `limits`", 0),
    tables.SecurityGroupTable: ("### `[[security_groups]]`", 0),
    tables.IngressTable: ("### Rules of `ingress` and `egress`", 0),
    tables.SshKeyTable: ("### `[[ssh_keys]]`", 0),
    Options: ("### `[drivers.simulator]`", 0),
}
"""Where docs/cloud.md describes a table's keys: below which heading, in which table from there."""


def keys(table: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The keys that a table may have, as they are written."""
    return {field.encode_name: field for field in msgspec.structs.fields(table)}


def test_every_table_of_the_cloud_description_has_its_section() -> None:
    found = {kind for kind in vars(tables).values() if isinstance(kind, type) and issubclass(kind, words.Table)}
    assert found - {words.Table, tables.RuleTable, tables.EgressTable} == set(SECTIONS) - {Options}
    ingress, egress = keys(tables.IngressTable), keys(tables.EgressTable)
    assert [key.replace("from", "to") for key in ingress] == list(egress), "all that the page says of egress"


@pytest.mark.parametrize("table", SECTIONS, ids=lambda table: table.__name__)
def test_every_key_of_the_cloud_description_is_described(table: type[msgspec.Struct]) -> None:
    heading, number = SECTIONS[table]
    said = {cells[0].strip("`"): cells[2].strip("`") for cells in rows("docs/cloud.md", heading, table=number)}
    fields = keys(table)
    assert list(said) == list(fields)
    for name, field in fields.items():
        if field.required:
            assert said[name] == "required"
        elif field.default not in (msgspec.NODEFAULT, None, words.Limits()):
            assert said[name] == msgspec.json.encode(field.default).decode().strip("`"), name


def test_every_kind_of_affinity_group_is_described() -> None:
    said = [cells[0].strip("`") for cells in rows("docs/cloud.md", "### `[[affinity_groups]]`", table=1)]
    assert said == list(AFFINITIES)


def test_every_example_is_listed() -> None:
    said = re.findall(r"\(\.\./(examples/[\w-]+\.toml)\)", text_of("docs/cloud.md"))
    assert set(said) == {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.toml")}


def need_in_words(need: Need) -> str:
    """A need as docs/machines.md says it."""
    if isinstance(need, Holds | HoldsNo):
        return f"it holds {'no ' if isinstance(need, HoldsNo) else ''}`{need.column}`"
    whose = "its vm is" if need.machine == "vm" else f"every {need.machine} is"
    return f"{whose} {' or '.join(need.states) or 'gone'}"


def test_the_interlocks_are_listed() -> None:
    declared = [[row.machine, row.state, "; ".join(map(need_in_words, row.needs))] for row in INTERLOCKS]
    assert rows("docs/machines.md", "## Interlocks") == declared


NO_VM = {"deploy": "(new VM)", "create-disk": "(new disk)", "delete-disk": "(no VM)", "evict": "(no VM)"}
"""What is asked of no VM that is there, in words."""


def test_the_operations_are_listed() -> None:
    said = {cells[0]: cells[1:] for cells in rows("docs/architecture.md", "## What an operation is")}
    assert list(said) == list(PROGRAMS)
    for kind, program in PROGRAMS.items():
        accepts, steps = said[kind]
        assert accepts == NO_VM.get(kind, ", ".join(program.accepts))
        assert steps.partition(";")[0] == ", ".join(step.name for step in program.steps)


def test_the_commands_of_drivers_are_listed() -> None:
    said = [cells[0].strip("`") for cells in rows("docs/plugins.md", "## A driver", table=1)]
    assert said == [command.__name__ for command in COMMANDS]


POLICY = Policy()
FIGURES = [
    ("architecture", f"{POLICY.tries} tries of an effect, {POLICY.placements} placements"),
    ("architecture", f"{POLICY.undo_tries} tries of an undo"),
    ("architecture", f"from {POLICY.backoff} s doubling to {POLICY.backoff_most:.0f} s"),
    ("architecture", f"{POLICY.avoid_for / 60:.0f} minutes in the avoid set"),
    ("architecture", f"up to {writer.BATCH} of them"),
    ("architecture", f"lasts {lease.LEASE:.0f} s, is renewed every {lease.RENEW:.0f} s"),
    ("architecture", f"for up to {tasks.LEFT_BEHIND:.0f} s"),
    ("architecture", f"looks every {elsewhere.LOOK} s"),
    ("architecture", f"busy timeout of {opening.BUSY_SECONDS:.0f} s"),
    ("plugins", f"at most {effects.PER_PLACE} commands at a time"),
    ("decisions/0012-left-for-later", f"{effects.PER_PLACE} commands at once"),
]


@pytest.mark.parametrize(("page", "words"), FIGURES)
def test_figures_are_those_of_the_code(page: str, words: str) -> None:
    assert words in " ".join(text_of(f"docs/{page}.md").split())


# The life of a deploy


class Witness:
    """A driver that looks at the journal the moment it is asked for something."""

    def __init__(self, simulator: Simulator, database: Path) -> None:
        self.simulator, self.database = simulator, database
        self.capabilities = simulator.capabilities
        self.seen: list[tuple[str, str, int, int]] = []

    async def attach(self, hosts: Sequence[Host], pools: Sequence[StoragePool]) -> None:
        await self.simulator.attach(hosts, pools)

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        journal = sqlite3.connect(self.database)
        [head] = journal.execute("SELECT max(seq) FROM journal").fetchone()
        journal.close()
        self.seen.append((type(command).__name__, token, fence, head))
        return await self.simulator.perform(command, token=token, fence=fence)

    async def close(self) -> None:
        await self.simulator.close()


async def test_the_life_of_a_deploy_is_as_told(tmp_path: Path) -> None:
    """And each effect finds the commit that announces it in the database, and none of what follows from it."""
    witness = Witness(await Simulator.at(tmp_path / "world"), tmp_path / "interlock.db")
    async with Engine.open(str(witness.database), drivers={"simulator": witness}) as engine:
        await engine.load(CloudDescription.read(ROOT / "examples/cloud.toml"))
        handle = await engine.deploy(DeployVM(name="web", offering="small", template="debian-12"))
        await handle.wait()
        history = await engine.history(handle.subject)
    await witness.close()

    moments = list(dict.fromkeys(row.at for row in history))
    told = rows("docs/architecture.md", "## The life of a deploy")
    for row, (decision, *cells, ledger) in zip(history, told, strict=True):
        assert int(decision) == moments.index(row.at) + 1
        assert cells == [str(row.seq), row.machine, row.event, row.source, row.destination]
        assert ledger.partition(":")[0] == ", ".join(movement.thing for movement in row.movements)
        assert all(movement.giver == "free" for movement in row.movements)

    assert [(name, fence, head) for name, _, fence, head in sorted(witness.seen, key=lambda each: each[2])] == [
        ("PrepareNic", 6, 9),
        ("CreateVolume", 6, 9),
        ("StartDomain", 10, 12),
    ]
    text, scrubbed = text_of("docs/architecture.md"), {row.entity_id: row.machine.upper() for row in history}
    for _, token, _, _ in witness.seen:
        spoken = re.sub("|".join(scrubbed), lambda found: scrubbed[found[0]], token)
        assert f"`{spoken}`" in text
