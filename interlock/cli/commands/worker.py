"""worker: drives what others ask for, until it is told to end.

SIGTERM and Ctrl-C drain it: it takes nothing more, lets the effects under way answer and commits what came of them, and
gives up its lease, so that other workers go on with the rest at once. A second signal ends it like `kill -9`; then the
others go on when its lease ends.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, command
from interlock.cli.output import note
from interlock.schema.errors import InvalidRequest

if TYPE_CHECKING:
    from interlock.engine.observer import Observer


@command("worker")
@click.option(
    "--in-flight",
    metavar="N",
    type=click.IntRange(min=1),
    help="Operations driven at once; others wait.  [default: 512]",
)
@click.option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there, such as 0.0.0.0:9400.")
async def worker(face: Face, in_flight: int | None, metrics: str | None) -> Exit:
    """Drive what others ask for, until Ctrl-C; needs PostgreSQL.

    Run as many as you like, on any machine from which the hosts can be reached.
    """
    with _served(metrics) as observers:
        return await _serve(face, in_flight, observers)


async def _serve(face: Face, in_flight: int | None, observers: Sequence[Observer]) -> Exit:
    async with face.serving(in_flight, observers) as engine:
        # What is there by now stays until the end: the collector need not look through it again and again.
        gc.freeze()
        note(f"worker {engine.worker_id} serves {face.shown_db}")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            under_way = _operations(engine.under_way())
            note(f"ending: {under_way} under way; their effects are waited for, others go on with the rest")
    note(f"worker {engine.worker_id} has ended")
    return Exit.OK


@contextmanager
def _served(address: str | None) -> Iterator[Sequence[Observer]]:
    """Metrics for an engine, which are served at an address until the end; without one, none."""
    if address is None:
        yield ()
        return
    try:
        from interlock.telemetry.metrics import Metrics
        from interlock.telemetry.serving import serving
    except ModuleNotFoundError as missing:
        raise InvalidRequest(str(missing)) from missing
    with serving(address) as url:
        note(f"metrics are served at {url}")
        yield (Metrics(),)


def _operations(count: int) -> str:
    return f"{count} operation{'' if count == 1 else 's'}"
