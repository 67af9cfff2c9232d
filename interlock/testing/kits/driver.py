"""The conformance kit of drivers: a base class of pytest classes.

    class TestMyDriver(DriverConformance):
        async def make(self, home): return await MyDriver.open({}, home)
        async def observe(self, driver): return Seen(...)

A subclass says how the driver is opened and how one sees what is in its world; where the defaults do not suit, which
places and sizes to use (`scene`), how many random sequences to try (`examples`), and how long an answer may take
(`patience`). On a real hypervisor each check costs one or two boots of a guest, and each example about as much.

Promises: needs pytest and no pytest plug-in: each check runs an event loop of its own. Whatever a check
has said, it undoes before it ends. Each failure names the sentence of the protocol that is broken and lists what was
said. Never asks what the engine never asks, except for what the protocol says must be refused.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from interlock.drivers.protocol import Driver
from interlock.schema import commands as c
from interlock.schema.commands import AnyCommand, Capability, Refusal, Scope
from interlock.testing.kits import promises as p
from interlock.testing.kits.broken import Broken
from interlock.testing.kits.lives import NOWHERE, Step, cancelled, life, live, shortest
from interlock.testing.kits.scene import of_no_vm
from interlock.testing.kits.told import Told, aged
from interlock.testing.kits.under_test import DriverUnderTest, check, in_a_loop
from interlock.testing.seen import Seen

TURNS = (0, 1, 2, 5, 20)
"""After how many turns of the event loop a call is cancelled. Too few: an await deep in a driver is never hit."""
POLL, LOOKS = 0.01, 50
"""Seconds between two looks at threads that are about to end, and how many. Too short: one that ends is called left."""


class DriverConformance(DriverUnderTest):
    """What must hold of every driver."""

    # What it is

    @check
    async def test_it_is_a_driver(self, told: Told) -> None:
        """It has the methods, and says what it can."""
        if not isinstance(told.driver, Driver):
            raise Broken(p.CAPABILITIES, f"{type(told.driver).__name__} lacks a method or attribute of Driver")
        able = told.driver.capabilities
        if not isinstance(able, frozenset) or not all(isinstance(each, Capability) for each in able):
            raise Broken(p.CAPABILITIES, f"it is {able!r}, not a frozenset of Capability")

    @check
    async def test_a_whole_life_is_done(self, told: Told) -> None:
        """Each command of a life is Done, and the world is as it says."""
        model = self._model(told)
        for command in self._life(told):
            await told.done(command, p.DONE_MEANS)
            model.done(command)
            await told.looks(model.seen(), p.DONE_MEANS)

    # Tokens

    @check
    async def test_the_same_token_again_changes_nothing(self, told: Told) -> None:
        """At once: Done, and no further change."""
        for command in self._life(told):
            said = await told.done(command, p.DONE_MEANS)
            before = await told.world()
            for _ in range(2):
                await told.again(said, p.SAME_TOKEN)
                await told.unchanged(before, p.SAME_TOKEN, f"{type(command).__name__} was repeated under its token")

    @check
    async def test_an_old_token_changes_nothing(self, told: Told) -> None:
        """Years later: when all has been undone since, the tokens of a life are Done, and nothing comes back."""
        kept = [await told.done(command, p.DONE_MEANS) for command in self._life(told)]
        before = await told.world()
        for said in kept:
            await told.again(aged(said, told.top), p.SAME_TOKEN)
            await told.unchanged(before, p.SAME_TOKEN, f"the token of {type(said.command).__name__} came again")

    @check
    async def test_what_is_so_is_done_under_another_token(self, told: Told) -> None:
        """All commands but RebootDomain are idempotent by themselves."""
        for command in self._life(told):
            await told.done(command, p.DONE_MEANS)
            if not isinstance(command, c.RebootDomain):
                before = await told.world()
                await told.done(command, p.ALREADY_THERE)
                await told.unchanged(before, p.ALREADY_THERE, f"{type(command).__name__} was so already")

    # Undoing

    @check
    async def test_undoing_brings_back_the_world_before(self, told: Told) -> None:
        """Each command with an undo, then that: the world before; and undone twice is undone."""
        for command in self._life(told):
            before, undo = await told.world(), self.scene.undo(command)
            await told.done(command, p.DONE_MEANS)
            if undo is not None:
                for _ in range(2):
                    await told.done(undo, p.UNDOING)
                    await told.unchanged(before, p.UNDOING, f"{type(command).__name__} was undone")
                await told.done(command, p.DONE_MEANS)

    @check
    async def test_undoing_what_never_was_is_done(self, told: Told) -> None:
        """In an empty world, and beside a VM that is up."""
        undoing = [undo for command in self.scene.up() if (undo := self.scene.undo(command))]
        undoing += [self.scene.unplug_nic(), self.scene.unplug_volume(), of_no_vm(self.scene.delete(device=1))]
        undoing.append(self.scene.release(device=1))
        for undo in undoing:
            await told.done(undo, p.UNDOING)
            await told.unchanged(Seen(), p.UNDOING, f"{type(undo).__name__} had nothing to undo")
        await self._up(told)
        before = await told.world()
        for undo in undoing[3:]:
            await told.done(undo, p.UNDOING)
            await told.unchanged(before, p.UNDOING, f"{type(undo).__name__} had nothing to undo")

    # Fences

    @check
    async def test_a_lower_fence_changes_nothing(self, told: Told) -> None:
        """A late command of any kind is refused, whether it would do or undo."""
        await self._up(told)
        await told.done(self.scene.prepare(), p.ALREADY_THERE, fence=told.top + 10)
        late = [*self._life(told), self.scene.stop(), self.scene.unplug_nic(), self.scene.unplug_volume()]
        for command in late:
            await told.refused(command, p.FENCE, fence=told.top - 1)

    @check
    async def test_a_late_start_after_an_undo_starts_nothing(self, told: Told) -> None:
        """Another worker has undone what a paused one wakes up to do."""
        await self._ready(told)
        began = await told.done(self.scene.start(), p.DONE_MEANS)
        await told.done(self.scene.stop(), p.UNDOING, fence=told.top + 10)
        before = await told.world()
        await told.refused(began.command, p.FENCE, fence=told.top - 1)
        await told.say(began)  # Done it was, or late it is: both are true
        await told.unchanged(before, p.FENCE, "a start came after its undo")

    @check
    async def test_a_fence_is_noted_though_its_command_is_refused(self, told: Told) -> None:
        """The world has been told otherwise, whatever it made of that."""
        await told.refused(self.scene.reboot(), p.DONE_MEANS, fence=20)
        await told.refused(self.scene.prepare(), p.FENCE_NOTED, fence=19)
        await told.done(self.scene.prepare(), p.FENCE_IS_OWN, fence=20)

    @check
    async def test_a_fence_is_of_a_vm_and_of_a_disk(self, told: Told) -> None:
        """It counts for all of one VM and nothing of another; a disk takes its own along."""
        await told.done(self.scene.prepare(1), p.DONE_MEANS, fence=20)
        await told.done(self.scene.prepare(2), p.FENCE_IS_OWN, fence=1)
        await told.refused(self.scene.create(1), p.FENCE_IS_OWN, fence=19)
        await told.done(of_no_vm(self.scene.create(2)), p.FENCE_IS_OWN, fence=30)
        await told.refused(of_no_vm(self.scene.delete(2)), p.FENCE_IS_OWN, fence=29)
        await told.refused(self.scene.delete(2), p.FENCE_IS_OWN, fence=29)
        await told.done(of_no_vm(self.scene.delete(2)), p.FENCE_IS_OWN, fence=30)

    # Refusals

    @check
    async def test_what_it_cannot_is_refused(self, told: Told) -> None:
        """A command that needs a capability that it lacks; but to undo what never was is Done."""
        lacking = set(Capability) - told.driver.capabilities
        if not lacking:
            pytest.skip("it lacks no capability")
        if Capability.LINKED_CLONE in lacking and self.scene.template:
            await told.refused(self.scene.create(clone="linked"), p.LACKS, scope=Scope.VM)
        if Capability.SECURITY_GROUPS in lacking:
            await self._ready(told)
            await told.refused(self.scene.start(rules=True), p.LACKS, scope=Scope.VM)
        await self._up(told)
        await told.done(self.scene.prepare(device=1), p.DONE_MEANS)
        await told.done(self.scene.create(device=1), p.DONE_MEANS)
        for command in [each for capability in sorted(lacking) for each in self._needing(capability)]:
            await told.refused(command, p.LACKS, scope=Scope.VM)
        for undo in (self.scene.unplug_nic(), self.scene.unplug_volume()):
            await told.done(undo, p.UNDO_OF_LACKED)

    def _needing(self, capability: Capability) -> list[AnyCommand]:
        """Commands that need it, of a guest that runs."""
        scene = self.scene
        needing: dict[Capability, list[AnyCommand]] = {
            Capability.SECURITY_GROUPS: [scene.apply_rules()],
            Capability.LIVE_MIGRATION: [scene.migrate()] if scene.other_host else [],
            Capability.LIVE_SCALE: [scene.scale()],
            Capability.HOT_PLUG: [scene.plug_nic(), scene.plug_volume()],
        }
        return needing.get(capability, [])

    @check
    async def test_impossible_wishes_are_refused_and_leave_nothing(self, told: Told) -> None:
        """Places that there are not, and a disk that fits nowhere."""
        await self._ready(told)
        await told.refused(self.scene.prepare(2, NOWHERE), p.TRUTH, scope=Scope.HOST)
        await told.refused(self.scene.create(2, NOWHERE), p.TRUTH, scope=Scope.POOL)
        await told.refused(self.scene.start(1, NOWHERE), p.TRUTH, scope=Scope.HOST)
        if self.scene.too_big_mib is not None:
            full = (Refusal.PERMANENT, Refusal.TRANSIENT)
            await told.refused(self.scene.create(2, size=self.scene.too_big_mib), p.TRUTH, *full, scope=Scope.POOL)
            await told.refused(self.scene.resize(1, size=self.scene.too_big_mib), p.TRUTH, *full, scope=Scope.POOL)
        if Capability.LIVE_MIGRATION in told.driver.capabilities:
            await told.done(self.scene.start(), p.DONE_MEANS)
            await told.refused(self.scene.migrate(to=NOWHERE), p.TRUTH, scope=Scope.HOST)

    @check
    async def test_what_is_not_there_is_not_changed(self, told: Told) -> None:
        """Done means that it is so; of what is not there, it cannot be."""
        able = told.driver.capabilities
        changes: list[AnyCommand] = [self.scene.reboot(), self.scene.resize()]
        changes += [each for capability in sorted(able) for each in self._needing(capability)]
        for command in changes:
            await told.refused(command, p.DONE_MEANS, scope=Scope.VM)

    # Many at once, and none to the end

    @check
    async def test_commands_of_one_moment_do_not_disturb_each_other(self, told: Told) -> None:
        """Those of two VMs all at once; then one command twice at once, under one token."""
        model = self._model(told)
        for together in zip(self.scene.up(1), self.scene.up(2), strict=True):
            waiting = [told.settle(told.new(command)) for command in together]
            for outcome, command in zip(await asyncio.gather(*waiting), together, strict=True):
                if not isinstance(outcome, c.Done):
                    raise told.broken(p.AT_ONCE, f"{type(command).__name__}, one of two at a time, was not Done")
                model.done(command)
            await told.looks(model.seen(), p.AT_ONCE)
        twice = told.new(self.scene.reboot())
        await asyncio.gather(told.again(twice, p.SAME_TOKEN), told.again(twice, p.SAME_TOKEN))
        model.done(twice.command)
        await told.looks(model.seen(), p.AT_ONCE)

    @check
    async def test_what_was_cancelled_and_asked_again_is_done_once(self, told: Told) -> None:
        """Asked again under its token, the world is as if it had been asked once."""
        model = self._model(told)
        for turn, command in enumerate(self._life(told)):
            said = told.new(command)
            await cancelled(told, said, TURNS[turn % len(TURNS)])
            await told.again(said, p.CANCELLED)
            model.done(command)
            await told.looks(model.seen(), p.CANCELLED)

    # Ends

    def test_closing_leaves_no_task_and_no_thread(self, tmp_path: Path) -> None:
        """After a VM was brought up, and a call was cancelled."""
        in_a_loop(self._closed(tmp_path))

    async def _closed(self, folder: Path) -> None:
        threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
        await self._with_driver(folder, self._use)
        for _ in range(LOOKS):
            if set(threading.enumerate()) <= threads:
                break
            await asyncio.sleep(POLL)  # a thread that was told to end may need a moment
        left = [f"thread {thread.name}" for thread in set(threading.enumerate()) - threads]
        left += [f"task {task.get_name()}" for task in asyncio.all_tasks() - tasks]
        if left:
            raise Broken(p.LEAVES_NONE, f"after close there is still {', '.join(sorted(left))}")

    @check
    async def test_the_world_stays_when_the_driver_is_closed(self, told: Told) -> None:
        """Opened again on the same home it knows its world, the tokens and the fences."""
        if not self.world_outlives:
            pytest.skip("its world ends with the process")
        kept = [await told.done(command, p.DONE_MEANS, fence=20) for command in self.scene.up()]
        before = await told.world()
        await told.reopen()
        await told.unchanged(before, p.STAYS, "it was closed")
        await told.refused(self.scene.stop(), p.FENCE, fence=19)
        for said in kept:
            await told.again(said, p.OUTLIVES)
            await told.unchanged(before, p.OUTLIVES, f"the token of {type(said.command).__name__} came again")
        await told.done(self.scene.stop(), p.UNDOING, fence=21)
        await told.reopen()
        stopped = await told.world()
        await told.again(aged(kept[-1], 21), p.OUTLIVES)
        await told.unchanged(stopped, p.OUTLIVES, "the token of a start came again after its undo")

    @check
    async def test_attaching_again_changes_nothing(self, told: Told) -> None:
        """As when the cloud's description is loaded again, with a host that is bigger than it was."""
        await self._up(told)
        before = await told.world()
        bigger = [replace(host, memory_mib=2 * host.memory_mib) for host in self.scene.hosts]
        await told.driver.attach(bigger, self.scene.pools)
        await told.unchanged(before, p.ATTACH, "its hosts and pools were attached again")
        await told.done(self.scene.reboot(), p.ATTACH)

    # At random

    def test_any_sequence_ends_as_the_reference_model_says(self) -> None:
        """Sequences at random, in which commands are repeated, late and cancelled."""
        if not self.examples:
            pytest.skip("examples = 0")
        for number in range(self.examples):
            steps = life(self.scene, number)
            if broken := self._lived(steps):
                raise (shortest(steps, self._lived) or broken) from broken.__cause__

    def _lived(self, steps: list[Step]) -> Broken | None:
        """What a sequence breaks, on a driver of its own."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                asyncio.run(self._with_driver(Path(folder), partial(live, steps)))
            except Broken as broken:
                return broken.with_traceback(None)
        return None
