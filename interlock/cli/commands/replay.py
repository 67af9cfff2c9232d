"""replay: what is recorded, decided again.

`--check` holds today's code against it, and is meant as a gate in front of a release. Without it, the history is played
otherwise: under another planner, guru or setting.
"""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command


@command("replay")
@click.argument("journals", nargs=-1, metavar="[FILES]...")
@click.option("--check", is_flag=True, help="Decide all again, and stop at the first decision that differs.")
@click.option("--planner", metavar="NAME", help="Have this planner place all VMs.")
@click.option("--guru", "gurus", multiple=True, metavar="NETWORK=NAME", help="Have this guru give addresses.")
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="Have this setting, everywhere.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw how full the hosts are.")
@click.option("--full", is_flag=True, help="List every VM, operation and host that differs.")
async def replay(
    face: Face,
    journals: tuple[str, ...],
    check: bool,
    planner: str | None,
    gurus: tuple[str, ...],
    settings: tuple[str, ...],
    svg: Path | None,
    full: bool,
) -> Exit:
    """Decide the recorded inputs of a journal again, with the code of this release.

    With --check: as they were. The exit code is 1 if a decision comes out otherwise, and the first such is shown.

    With --planner, --guru or --setting: the same history otherwise. Which VMs would stand elsewhere, which operations
    would have failed or not, how full the hosts would be.
    """
    otherwise = bool(planner or gurus or settings)
    if check == otherwise:
        raise click.UsageError("give --check, or what shall be otherwise: --planner, --guru, --setting")
    if check:
        from interlock.cli.commands.replay_check import check as checked

        return await checked(face, journals)
    if len(journals) > 1:
        raise click.UsageError("one history at a time can be played otherwise")
    from interlock.cli.commands.replay_otherwise import Wanted, play

    wanted = Wanted(planner=planner, gurus=_pairs("--guru", gurus), settings=_pairs("--setting", settings))
    return await play(face, journals[0] if journals else face.db, wanted, svg, full)


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    if not all(value and name for name, value in found.items()):
        raise click.UsageError(f"{option} wants NAME=VALUE")
    return found
