"""The group of commands: one table of names, homes and short helps; nothing of a command is imported to list it.

Promises: `interlock --help` imports click and this room's light modules, no more. Whatever a command raises that is
no bug ends in one line on standard error and an exit code of `exits.py`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from interlock.cli.exits import MEANING, Exit, Interrupted, of_error
from interlock.cli.face import DB_HELP, JSON_HELP
from interlock.cli.output import Out, failed, note

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Make the database and load a cloud description."),
    "deploy": ("deploy", "Create VMs and run them."),
    "start": ("lifecycle", "Run VMs that are Stopped or Allocated."),
    "stop": ("lifecycle", "Stop Running VMs."),
    "reboot": ("lifecycle", "Restart the guests of Running VMs."),
    "destroy": ("lifecycle", "Stop VMs and mark them Destroyed."),
    "recover": ("lifecycle", "Bring Destroyed VMs back to Stopped."),
    "expunge": ("lifecycle", "End VMs for good; their disks are deleted."),
    "migrate": ("changes", "Move Running VMs to another host."),
    "scale": ("changes", "Give VMs another offering."),
    "restore": ("changes", "Make root disks anew from a template."),
    "assign": ("changes", "Give VMs to another account."),
    "create-disk": ("disks", "Make a data disk that belongs to no VM."),
    "attach-disk": ("disks", "Give a disk to a VM, also one that runs."),
    "detach-disk": ("disks", "Take disks from their VMs; they keep their data."),
    "resize-disk": ("disks", "Give a disk another size."),
    "delete-disk": ("disks", "End disks that belong to no VM, for good."),
    "disks": ("disks", "List disks."),
    "add-nic": ("nics", "Put VMs on one more network."),
    "remove-nic": ("nics", "Take VMs off a network."),
    "set-default-nic": ("nics", "Have the default route of VMs go through another network."),
    "ps": ("ps", "List VMs."),
    "show": ("show", "Show a VM with all that belongs to it."),
    "history": ("history", "Show what a VM went through, and its parts beside it."),
    "why": ("why", "Say why a VM, a disk or an operation is as it is."),
    "timeline": ("timeline", "Draw what happened: to a VM, or to the whole fleet."),
    "rewind": ("rewind", "Show a VM or the fleet as it stood at a moment."),
    "diff": ("diff", "Show what two moments differ in."),
    "bisect": ("bisect", "Find the transition that broke something."),
    "watch": ("watch", "Follow all transitions as they happen."),
    "hosts": ("hosts", "Show hosts and pools, and what is held of them."),
    "accounts": ("accounts", "Show accounts and domains, their limits and what is used."),
    "settings": ("settings", "Show settings; set them, and take them back."),
    "groups": ("groups", "Show security groups, their rules and their members."),
    "rules": ("groups", "Give a security group other rules."),
    "replay": ("replay", "Decide the journal again, as it was or otherwise."),
    "journal": ("journal", "Write the journal to a file, check it, refill from it."),
    "machines": ("machines", "Show the state machines, as tables or pictures."),
    "logs": ("logs", "Read CloudStack logs, and check what they record."),
    "fuzz": ("fuzz", "Shake the lifecycle until it breaks: ours, or yours."),
    "worker": ("worker", "Drive what others ask for, until Ctrl-C."),
    "reconcile": ("reconcile", "Have the records say what hosts really have."),
    "doctor": ("doctor", "Look for what should not be."),
    "resolve": ("resolve", "Take a way out for a Stuck operation."),
    "cancel": ("resolve", "Have an abandoned operation undone."),
}
"""By name: the module in `commands` whose attribute of that name it is, and the short help."""

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:3}  {meaning}" for code, meaning in MEANING.items())


class Group(click.Group):
    """A group that imports a command when it is asked for by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is that of a VM's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it."""
        if cmd_name not in COMMANDS:
            return None
        home, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(import_module(f"interlock.cli.commands.{home}"), cmd_name.replace("-", "_"))
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but it can say what was meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> NoReturn:
        """Run, and exit with a code of the table."""
        args = list(sys.argv[1:] if args is None else args)
        out = Out("--json" in args)
        try:
            code = super().main(args, *more, **{**named, "standalone_mode": False, "obj": out})
        except (click.ClickException, click.Abort, KeyboardInterrupt, Interrupted) as end:
            code = _ended(out, end)
        except Exception as error:
            if not _is_ours(error):
                raise
            code = of_error(error)
            failed(out, getattr(error, "code", "interlock"), str(error))
        out.flush()
        sys.exit(int(code or (Exit.FAILED if out.failed else Exit.OK)))


def _ended(out: Out, end: BaseException) -> int:
    if isinstance(end, click.exceptions.NoArgsIsHelpError):
        end.show()
    elif isinstance(end, click.ClickException):
        path = end.ctx.command_path if isinstance(end, click.UsageError) and end.ctx else "interlock"
        failed(out, "usage", end.format_message())
        note(f"`{path} --help` says more")
    else:
        if isinstance(end, Interrupted) and end.left is not None:
            failed(out, "interrupted", end.message, under_way=end.left, unsent=end.unsent)
        return Exit.INTERRUPTED
    return Exit.USAGE


def _is_ours(error: Exception) -> bool:
    # A process that never came to load them has not met one.
    errors = sys.modules.get("interlock.schema.errors")
    return errors is not None and isinstance(error, errors.InterlockError)


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--db", metavar="DB", envvar="INTERLOCK_DB", help=DB_HELP)
@click.option("--json", is_flag=True, expose_value=False, help=JSON_HELP)
@click.version_option(package_name="interlock", message="%(prog)s %(version)s")
def cli(db: str | None) -> None:
    """Interlock: deploy, run and end VMs, each an explicit state machine in a database."""


def main() -> NoReturn:
    """The entry point `interlock`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with it closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an arrow must not end a command on an old terminal
    cli.main()


if __name__ == "__main__":
    main()
