"""Command sequences at random, with all that may befall a command on its way: said twice, late, cancelled half-way.

They come from numbers, not from Hypothesis: its shrinking knows no limit, and a run on a real hypervisor takes minutes.

Chance alone hardly ever brings a VM up or moves it; so phrases do, each with a VM at a place, and commands at random
come between. What the engine would never ask at that point, the model leaves out as the sequence runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from interlock.schema.commands import AnyCommand, Done
from interlock.testing.kits.broken import Broken
from interlock.testing.kits.model import Model, Must
from interlock.testing.kits.promises import CANCELLED, DONE_MEANS, FENCE, LACKS, SAME_TOKEN, SCOPE, UNDOING
from interlock.testing.kits.scene import Scene, of_no_vm
from interlock.testing.kits.told import Said, Told, aged

VMS = (1, 2)
NOWHERE = "kit-nowhere"
RUNS = 200
"""Most runs that making a failing sequence shorter may take. Too low: people read commands that do not matter; too
high: a slow driver's failure is told late."""
ALONE, LATE = 0.5, 0.1
"""How often commands come outside of a phrase, and how often one is late. Too low: what they show is seldom met; too
high: no VM lives for long."""
FIRST = 1
"""The fence of a late command: lower than any that came after the first."""


@dataclass(frozen=True)
class Step:
    """A command, and how it is said."""

    command: AnyCommand
    times: int = 1
    late: bool = False
    cancel_after: int | None = None
    """Turns of the event loop after which it is cancelled, to be said again; None: it is not."""


Phrase = Callable[[Scene, int, str, str], list[AnyCommand]]


def more(scene: Scene, vm: int, at: str, pool: str) -> list[AnyCommand]:
    """A second NIC and a second disk."""
    new: list[AnyCommand] = [scene.prepare(vm, at, 1), scene.plug_nic(vm, at), scene.create(vm, pool, 1)]
    return [*new, scene.plug_volume(vm, at, pool), scene.resize(vm, pool, 1)]


def less(scene: Scene, vm: int, at: str, pool: str) -> list[AnyCommand]:
    """Those are taken away."""
    unplugged: list[AnyCommand] = [scene.unplug_nic(vm, at), scene.unplug_volume(vm, at)]
    return [*unplugged, scene.release(vm, at, 1), scene.delete(vm, pool, 1)]


def other(scene: Scene, vm: int, at: str, pool: str) -> list[AnyCommand]:
    """Changes while it runs."""
    return [scene.scale(vm, at), scene.apply_rules(vm, at), scene.reboot(vm, at), scene.resize(vm, pool)]


def move(scene: Scene, vm: int, at: str, pool: str) -> list[AnyCommand]:
    """To another host and back."""
    to = next((host.id for host in scene.hosts if host.id != at), at)
    there: list[AnyCommand] = [scene.prepare(vm, to), scene.prepare(vm, to, 1), scene.migrate(vm, at, to)]
    return [*there, scene.reboot(vm, to), scene.migrate(vm, to, at)]


def down(scene: Scene, vm: int, at: str, pool: str) -> list[AnyCommand]:
    """Down and away."""
    return [scene.stop(vm, at), scene.delete(vm, pool), scene.release(vm, at)]


PHRASES: tuple[Phrase, ...] = (more, less, other, move, down, down)


def life(scene: Scene, number: int) -> list[Step]:
    """One sequence of commands for two VMs on the scene's places: the same one for the same number."""
    random = Random(number)  # noqa: S311 - a seed makes it repeatable, which is the point
    commands: list[AnyCommand] = []
    for _ in range(random.randint(2, 5)):
        if random.random() < ALONE:
            commands += [_any_command(scene, random) for _ in range(random.randint(1, 5))]
        else:
            commands += _phrase(scene, random)
    return [_said(command, random) for command in commands]


def _phrase(scene: Scene, random: Random) -> list[AnyCommand]:
    """A VM comes up and lives through some parts, at one place."""
    place = random.choice(VMS), random.choice(scene.hosts).id, random.choice(scene.pools).id
    parts = random.choices(PHRASES, k=random.randint(0, 3))
    return [*scene.up(*place), *(command for part in parts for command in part(scene, *place))]


def _said(command: AnyCommand, random: Random) -> Step:
    turns = random.choice([None] * 5 + [0, 1, 3])
    return Step(command, random.choice([1, 1, 1, 2, 3]), random.random() < LATE, turns)


def _any_command(scene: Scene, random: Random) -> AnyCommand:
    vm, device = random.choice(VMS), random.choice([0, 1])
    at, pool = random.choice(scene.hosts).id, random.choice(scene.pools).id
    host, other = random.choice([at, at, NOWHERE]), random.choice(scene.hosts).id
    disks: list[AnyCommand] = [
        scene.create(vm, random.choice([pool, pool, NOWHERE]), device),
        scene.create(vm, pool, clone="linked"),
        scene.delete(vm, pool, device),
        scene.resize(vm, pool, device),
    ]
    disk = random.choice(disks)
    of_guests = (scene.stop, scene.reboot, scene.scale, scene.plug_nic, scene.unplug_nic, scene.unplug_volume)
    any_of: list[AnyCommand] = [
        disk,
        disk,
        of_no_vm(disk),
        scene.prepare(vm, host, device),
        scene.release(vm, at, device),
        scene.start(vm, host, pool, rules=random.choice([False, True])),
        *(say(vm, at) for say in of_guests),
        scene.apply_rules(vm, at),
        scene.plug_volume(vm, at, pool),
        scene.migrate(vm, at, other),
    ]
    return random.choice(any_of)


# Living them


async def live(steps: list[Step], told: Told) -> None:
    """Say all of it, and see after each command that the world is as the model says; at the end all tokens again."""
    model, kept = Model(told.scene, told.driver.capabilities), list[Said]()
    for step in steps:
        command = model.asked(step.command)
        if command is not None:
            said = told.new(command, fence=FIRST if step.late else None)
            if await _befall(step, said, told, model):
                kept.append(said)
    for said in reversed(kept):
        await told.again(aged(said, told.top + 1), SAME_TOKEN)
        await told.looks(model.seen(), SAME_TOKEN)


async def _befall(step: Step, said: Said, told: Told, model: Model) -> bool:
    """Say one command as the step says; whether it was done."""
    if model.is_stale(said.command, said.fence):
        before = await told.world()
        outcome = await told.settle(said)
        if isinstance(outcome, Done):
            raise told.broken(FENCE, f"a late {type(said.command).__name__} was answered Done")
        await told.unchanged(before, FENCE, "a late command was refused")
        return False
    if step.cancel_after is not None:
        await cancelled(told, said, step.cancel_after)
    outcome = await told.settle(said)
    _judge(outcome, said, told, model)
    if not isinstance(outcome, Done):
        await told.looks(model.seen(), CANCELLED if step.cancel_after is not None else DONE_MEANS)
        return False
    model.done(said.command)
    await told.looks(model.seen(), CANCELLED if step.cancel_after is not None else DONE_MEANS)
    for _ in range(step.times - 1):
        await told.again(said, SAME_TOKEN)
        await told.looks(model.seen(), SAME_TOKEN)
    return True


def _judge(outcome: object, said: Said, told: Told, model: Model) -> None:
    """See that it is the outcome that it must be."""
    must, scope = model.must(said.command)
    name, is_done = type(said.command).__name__, isinstance(outcome, Done)
    if must is Must.EITHER or (is_done and must is Must.DONE):
        return
    if is_done or must is Must.DONE:
        promise = LACKS if model.lacks(said.command) else UNDOING if told.scene.is_undoing(said.command) else DONE_MEANS
        raise told.broken(promise, f"{name} must be {must} here, and was not")
    if scope is not None and outcome.scope is not scope:  # type: ignore[attr-defined]  # it is a Refused
        raise told.broken(SCOPE, f"{name} must be refused about the {scope} here, and was not")


async def cancelled(told: Told, said: Said, turns: int) -> None:
    """Say it, and cancel that after some turns of the event loop; what it answered before that does not matter."""
    told.log.append(f"{type(said.command).__name__} (token {said.token}) was said, and cancelled after {turns} turns")
    task = asyncio.create_task(told.driver.perform(said.command, token=said.token, fence=said.fence))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    _, waiting = await asyncio.wait([task], timeout=told.patience)
    if waiting:
        raise told.broken(CANCELLED, f"perform went on for {told.patience} s after it was cancelled")
    if not task.cancelled() and (error := task.exception()):
        raise told.broken(CANCELLED, f"perform raised {error!r} when it was cancelled") from error


# Making one shorter


def shortest(steps: list[Step], breaks: Callable[[list[Step]], Broken | None]) -> Broken | None:
    """The failure of the shortest sequence found that still fails; None if not even the whole fails again.

    Steps are left out, long stretches first, and then said plainly, as long as the sequence still breaks something.
    """
    best, runs = breaks(steps), 1
    size = len(steps) // 2
    while best is not None and size and runs < RUNS:
        for start in range(0, len(steps), size):
            fewer = steps[:start] + steps[start + size :]
            runs += 1
            if len(fewer) < len(steps) and (broken := breaks(fewer)):
                steps, best = fewer, broken
                break
        else:
            size //= 2
    for index in range(len(steps)):
        plain = [*steps[:index], Step(steps[index].command), *steps[index + 1 :]]
        runs += 1
        if best is not None and runs < RUNS and plain != steps and (broken := breaks(plain)):
            steps, best = plain, broken
    return best
