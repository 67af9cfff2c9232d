"""`python -m tests.killing --rounds 200 --seed 0`: crash rounds on a database, and the table of what came of them.

Each round is made from one number; the line of one that failed says which, and what repeats it. Ends with 1 if any
failed, or if the kills were not spread over all that a process does.
"""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tests.killing import rounds
from tests.killing.grounds import Ground, PostgresqlGround, SqliteGround, postgresql_ground
from tests.killing.plan import Plan, plan
from tests.killing.report import lines, unspread
from tests.killing.rounds import Result

SHOWN = 1500
"""Characters shown of what is wrong. Too few: not what a traceback ends with; too many: one fills the screen."""
KINDS: dict[str, Callable[..., Result]] = {"alone": rounds.alone, "pair": rounds.pair, "outage": rounds.outage}


@click.command()
@click.option("--rounds", "count", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the first round; each next one has the next.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--kind", type=click.Choice(list(KINDS)), default="alone", show_default=True)
@click.option("--seconds", type=float, default=None, help="Begin no more rounds after so long.")
@click.option("--keep", is_flag=True, help="Keep what failed rounds leave, and say where.")
def main(count: int, seed: int, database: str, kind: str, seconds: float | None, keep: bool) -> None:
    """Kill processes, and see whether anything was lost."""
    if kind == "outage" and database == "sqlite":
        raise click.UsageError("an outage needs a server: add --database postgresql")
    folder = Path(tempfile.mkdtemp(prefix="interlock-killing-", dir="/tmp"))
    folder.chmod(0o755)
    results: list[Result] = []
    until = time.monotonic() + (seconds or float("inf"))
    with _ground(database, folder) as ground:
        for number in range(seed, seed + count):
            if time.monotonic() < until:
                results.append(played(kind, ground, plan(number)))
                _tell(results[-1], database)
    for line in lines(results, database):
        click.echo(line)
    missing = unspread(results)
    for line in missing:
        click.echo(line)
    click.echo(f"  left in              {folder}") if keep else _remove(folder)
    sys.exit(bool(missing) or any(each.wrongs for each in results))


def played(kind: str, ground: Ground, this: Plan) -> Result:
    """Play one round; one that cannot be played to its end is one that failed."""
    began = time.monotonic()
    try:
        result = KINDS[kind](ground, this)
    except Exception:
        wrongs = [traceback.format_exc()]
        result = Result(
            seed=this.seed, kind=kind, wrongs=wrongs, deaths=[], pauses=[], operations=Counter(), states=Counter()
        )
    result.seconds = time.monotonic() - began
    return result


def _tell(result: Result, database: str) -> None:
    if result.wrongs:
        where = f"--database {database} --kind {result.kind}"
        click.echo(f"FAILED: python -m tests.killing --rounds 1 --seed {result.seed} {where}")
        for wrong in result.wrongs[:12]:
            click.echo(f"    {_short(wrong)}")


def _short(wrong: str) -> str:
    """Its end, if it is long: a traceback ends with what matters."""
    return wrong if len(wrong) <= SHOWN else f"… {wrong[-SHOWN:]}"


@contextmanager
def _ground(database: str, folder: Path) -> Iterator[SqliteGround | PostgresqlGround]:
    if database == "sqlite":
        yield SqliteGround(folder)
    else:
        with postgresql_ground(folder) as ground:
            yield ground


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
