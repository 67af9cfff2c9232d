"""start, stop, reboot, destroy, recover, expunge: one operation on each of several VMs, all at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import click

from interlock.cli.exits import Exit
from interlock.cli.face import Face, Work, command
from interlock.cli.report import document, reporter
from interlock.cli.work import working
from interlock.schema.requests import KINDS, VmRequest


def on_each(
    kind: str, help: str, *options: Callable[[Any], Any], request_of: Callable[..., VmRequest] | None = None
) -> click.Command:
    """A command that asks the same of several VMs.

    Args:
        kind: the operation.
        options: named as its request's fields, or as the arguments of `request_of`.
        request_of: makes the request of a VM's name and the options; None: they are its fields.
    """
    asked_for = request_of or cast("type[VmRequest]", KINDS[kind])

    async def work(face: Face, names: tuple[str, ...], **arguments: Any) -> Exit:
        async with working(face, reporter(face.out, kind)) as under_way:
            for name in dict.fromkeys(names):
                request = asked_for(vm=name, **arguments)
                under_way.ask(name, kind, partial(under_way.engine.submit, request, caller=face.caller), vm=name)
        if face.out.json:
            face.out.document(document(under_way))
        return under_way.exit

    work.__doc__ = help
    asked: Work = click.argument("names", nargs=-1, required=True, metavar="NAME...")(work)
    for option in options:
        asked = option(asked)
    return command(kind, asks=True)(asked)


def _forced(meaning: str) -> Callable[[Any], Any]:
    return click.option("--forced", is_flag=True, help=meaning)


def _placed(place: str) -> Callable[[Any], Any]:
    return click.option(f"--{place}", metavar=place[0].upper(), help=f"Only this {place}; administrators may say so.")


start = on_each(
    "start",
    "Run VMs that are Stopped or Allocated. NAME may be an id.",
    _placed("host"),
    _placed("cluster"),
    _placed("pod"),
)
stop = on_each(
    "stop",
    "Stop Running VMs; their disks and addresses stay. NAME may be an id.",
    _forced("Pull the plug instead of asking the guest."),
)
reboot = on_each("reboot", "Restart the guests of Running VMs. NAME may be an id.")
destroy = on_each(
    "destroy",
    "Stop VMs if they run and mark them Destroyed; `recover` brings them back. NAME may be an id.",
    _forced("Pull the plug instead of asking the guest."),
)
recover = on_each("recover", "Bring Destroyed VMs back to Stopped. NAME may be an id.")
expunge = on_each("expunge", "End VMs for good: delete their disks, give back their addresses. NAME may be an id.")
