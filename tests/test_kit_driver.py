"""The driver kit: our own driver passes it, and each planted bug is caught, with the sentence that it breaks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.drivers.protocol import Driver, Home
from interlock.drivers.simulator import Simulator
from interlock.schema.commands import COMMANDS, Capability, LookForDomain, QuarantineDomain, Scope
from interlock.testing import Broken, DriverConformance, Scene, Seen
from interlock.testing.kits import promises
from interlock.testing.kits.lives import life
from interlock.testing.kits.model import Model, Must
from interlock.testing.kits.promises import Promise
from interlock.testing.kits.scene import a_host
from interlock.testing.seen import Disk, Guest, differences, seen_in
from tests import planted_drivers as planted

ROOT = Path(__file__).parent.parent


class TestSimulator(DriverConformance):
    """Our own, that can everything."""

    examples = 60

    async def make(self, home: Home) -> Driver:
        return await Simulator.open({}, home)

    async def observe(self, driver: Driver) -> Seen:
        assert isinstance(driver, Simulator)
        return seen_in(await driver.world())


class TestUnableSimulator(TestSimulator):
    """One that plays a hypervisor that can as little as may be, on a single host."""

    examples = 50
    scene = Scene(hosts=(a_host("kit-only"),), template=None)

    async def make(self, home: Home) -> Driver:
        return await Simulator.open({"cannot": list(Capability)}, home)


class TestSlowSimulator(TestSimulator):
    """One that is on its way to a host for a while: what is cancelled is cancelled before it arrives."""

    examples = 3

    async def make(self, home: Home) -> Driver:
        return await Simulator.open({"latency_ms": 0.2, "jitter_ms": 0.5}, home)


class Kit(DriverConformance):
    """The kit for one of the planted drivers."""

    examples = 40

    def __init__(self, kind: type[planted.Honest], **more: Any) -> None:
        self.kind = kind
        vars(self).update(more)

    async def make(self, home: Home) -> Driver:
        return await self.kind.open(home)

    async def observe(self, driver: Driver) -> Seen:
        assert isinstance(driver, planted.Honest)
        return seen_in(await driver.simulator.world())


def checks() -> list[str]:
    return [name for name in vars(DriverConformance) if name.startswith("test_")]


def run(kit: DriverConformance, name: str, folder: Path) -> None:
    """One check, as pytest would run it."""
    body: Callable[..., None] = getattr(kit, name)
    folder.mkdir(exist_ok=True)
    body() if name == AT_RANDOM else body(folder)


AT_RANDOM = "test_any_sequence_ends_as_the_reference_model_says"
LIFE = "test_a_whole_life_is_done"
SAME, OLD = "test_the_same_token_again_changes_nothing", "test_an_old_token_changes_nothing"
OTHER = "test_what_is_so_is_done_under_another_token"
UNDO, NOTHING = "test_undoing_brings_back_the_world_before", "test_undoing_what_never_was_is_done"
LOWER, LATE = "test_a_lower_fence_changes_nothing", "test_a_late_start_after_an_undo_starts_nothing"
NOTED, WHOSE = "test_a_fence_is_noted_though_its_command_is_refused", "test_a_fence_is_of_a_vm_and_of_a_disk"
CANNOT, WISHES = "test_what_it_cannot_is_refused", "test_impossible_wishes_are_refused_and_leave_nothing"
ABSENT = "test_what_is_not_there_is_not_changed"
MOMENT = "test_commands_of_one_moment_do_not_disturb_each_other"
CANCEL = "test_what_was_cancelled_and_asked_again_is_done_once"
CLOSE, REOPEN = "test_closing_leaves_no_task_and_no_thread", "test_the_world_stays_when_the_driver_is_closed"
ATTACH, PLAIN = "test_attaching_again_changes_nothing", "test_it_is_a_driver"

p = promises
CAUGHT: list[tuple[type[planted.Honest], str, Promise, str]] = [
    (planted.ForgetsTokens, SAME, p.SAME_TOKEN, "RebootDomain was repeated .* has boots 3 instead of 2"),
    (planted.ForgetsTokens, OLD, p.SAME_TOKEN, "came again, and now ready NIC kit-nic1 at kit-host-1 is there"),
    (planted.ForgetsTokens, CANCEL, p.CANCELLED, "has boots 3 instead of 2"),
    (planted.ForgetsTokens, AT_RANDOM, p.SAME_TOKEN, r"after:\n  1\. .*\n(  [2-7]\. .*\n)*see"),
    (planted.ForgetsTokensWhenClosed, REOPEN, p.OUTLIVES, "the token of a start came again after its undo"),
    (planted.IgnoresFences, LOWER, p.FENCE, r"PrepareNic nic kit-nic1 .* was answered Done instead of Refused perm"),
    (planted.IgnoresFences, LATE, p.FENCE, "StartDomain vm kit-vm1 .* was answered Done"),
    (planted.IgnoresFences, AT_RANDOM, p.FENCE, "a late .* was answered Done"),
    (planted.ForgetsFencesWhenClosed, REOPEN, p.FENCE, "StopDomain .* fence 19.* was answered Done"),
    (planted.NotesFencesOfDoneOnly, NOTED, p.FENCE_NOTED, "fence 19.* was answered Done"),
    (planted.FencesVmsOnly, WHOSE, p.FENCE_IS_OWN, "DeleteVolume volume kit-vol2 of no VM .* was answered Done"),
    (planted.FencesEverythingTogether, WHOSE, p.FENCE_IS_OWN, "kit-nic2 .* was answered Refused permanent"),
    (planted.StartedTwiceBootsTwice, SAME, p.SAME_TOKEN, "has boots 2 instead of 1"),
    (planted.StartedTwiceBootsTwice, OTHER, p.ALREADY_THERE, "StartDomain was so already, .* boots 2 instead of 1"),
    (planted.RefusesToUndoNothing, NOTHING, p.UNDOING, "DeleteVolume .* instead of Done"),
    (planted.RefusesToUndoNothing, UNDO, p.UNDOING, "DeleteVolume .* there is no volume kit-vol1 instead of Done"),
    (planted.RefusesToUndoNothing, AT_RANDOM, p.UNDOING, "DeleteVolume must be Done here"),
    (planted.Raises, ABSENT, p.NEVER_RAISES, r"perform\(RebootDomain\) raised RuntimeError\('the hypervisor said no'"),
    (planted.AnswersNone, LIFE, p.NEVER_RAISES, r"perform\(ReleaseNic\) answered None"),
    (planted.LeaksVolumes, UNDO, p.UNDOING, "CreateVolume was undone, and now disk kit-vol1 at kit-pool-1 is there"),
    (planted.LeaksVolumes, LIFE, p.DONE_MEANS, "disk kit-vol1-1 at kit-pool-1 is there and should not be"),
    (planted.LeavesAHalf, WISHES, p.TRUTH, "was refused, and now disk kit-vol2 at kit-pool-1 is there"),
    (planted.Blames, WISHES, p.SCOPE, "was refused about the host, not about the pool"),
    (planted.NeverKnows, WISHES, p.TRUTH, "was answered Refused unknown .* instead of Refused permanent"),
    (planted.RefusesWithoutReason, ABSENT, p.NEVER_RAISES, "reason='.*, which is neither Done nor Refused"),
    (planted.HidesWhatItCan, CANNOT, p.LACKS, "PlugNic .* was answered .* instead of Refused|about the host"),
    (planted.SaysWhatItCanInAList, PLAIN, p.CAPABILITIES, "it is .*, not a frozenset of Capability"),
    (planted.DoesNotMove, LIFE, p.DONE_MEANS, "guest kit-vm1 at kit-host-2 is missing"),
    (planted.RebootsWhatIsNotThere, ABSENT, p.DONE_MEANS, "RebootDomain .* was answered Done"),
    (planted.LeavesAThread, CLOSE, p.LEAVES_NONE, "there is still thread left-behind"),
    (planted.LeavesATask, CLOSE, p.LEAVES_NONE, "there is still task left-behind"),
    (planted.ActsAgainWhenCancelled, CANCEL, p.CANCELLED, "has boots 3 instead of 2"),
    (planted.WillNotBeCancelled, CANCEL, p.CANCELLED, r"raised RuntimeError\('not now'\) when it was cancelled"),
    (planted.OneAtATime, MOMENT, p.AT_ONCE, "one of two at a time, was not Done|is missing"),
    (planted.NoLock, MOMENT, p.AT_ONCE, "has boots 3 instead of 2"),
    (planted.StopsAllWhenAttached, ATTACH, p.ATTACH, "guest kit-vm1 at kit-host-1 is missing"),
    (planted.Hangs, LIFE, p.NEVER_RAISES, r"perform\(RebootDomain\) gave no answer in 0.3 s"),
    (planted.CancelsItself, LIFE, p.NEVER_RAISES, "raised CancelledError.*nobody had cancelled it"),
    (
        planted.LosesItsPlugs,
        AT_RANDOM,
        p.DONE_MEANS,
        r"has volumes .* instead of(?s:.*)  [67]\. MigrateDomain vm kit-vm. .* -> Done\nsee",
    ),
]


@pytest.mark.parametrize(
    ("kind", "check", "promise", "words"), CAUGHT, ids=[f"{kind.__name__}-{check}" for kind, check, *_ in CAUGHT]
)
def test_a_planted_bug_is_caught(
    kind: type[planted.Honest], check: str, promise: Promise, words: str, tmp_path: Path
) -> None:
    with pytest.raises(Broken) as caught:
        run(Kit(kind, patience=0.3 if kind is planted.Hangs else 30.0), check, tmp_path)
    said = str(caught.value)
    assert caught.value.promise is promise, said
    assert re.search(words, said), said
    assert promise.sentence in said and promise.where in said


def test_every_planted_bug_is_listed() -> None:
    bugs = {kind for kind in vars(planted).values() if isinstance(kind, type) and issubclass(kind, planted.Honest)}
    assert {kind for kind, *_ in CAUGHT} == bugs - {planted.Honest, planted.OwnFences, planted.Lingers}
    assert {check for _, check, *_ in CAUGHT} == set(checks()), "each check catches something"


@pytest.mark.parametrize("check", checks())
def test_without_a_bug_nothing_is_found(check: str, tmp_path: Path) -> None:
    if check == CANNOT:
        with pytest.raises(pytest.skip.Exception, match="lacks no capability"):
            run(Kit(planted.Honest), check, tmp_path)
    else:
        run(Kit(planted.Honest, examples=5), check, tmp_path)


# What the kit itself promises


def test_the_failure_lists_what_was_said(tmp_path: Path) -> None:
    with pytest.raises(Broken) as caught:
        run(Kit(planted.DoesNotMove), LIFE, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f'the protocol says: "{p.DONE_MEANS.sentence}"'
    assert lines[2] == "after:"
    assert lines[3] == "  1. PrepareNic nic kit-nic1 of kit-vm1 at kit-host-1 (token kit-1, fence 1) -> Done"
    assert lines[-2].endswith("MigrateDomain vm kit-vm1 at kit-host-1 to kit-host-2 (token kit-17, fence 17) -> Done")
    assert lines[-1] == "see schema/commands.py"


SAID = set(COMMANDS) - {LookForDomain, QuarantineDomain}
"""What the kit says to a driver. Not yet the two that only reconciliation asks for."""


def test_a_life_has_every_command() -> None:
    assert {type(command) for command in Scene().life(frozenset(Capability))} == SAID


def test_sequences_at_random_reach_every_command_and_all_that_may_befall_it() -> None:
    done, refused, befallen = set[type[object]](), set[Scope | None](), set[str]()
    for number in range(DriverConformance.examples):
        model = Model(Scene(), frozenset(Capability))
        for step in life(Scene(), number):
            if (command := model.asked(step.command)) is None:
                continue
            must, scope = model.must(command)
            befallen |= {"late"} if step.late else {"cancelled"} if step.cancel_after is not None else set()
            if must is Must.DONE:
                befallen |= {"twice"} if step.times > 1 else set()
                done.add(type(command))
                model.done(command)
            elif must is Must.REFUSED:
                refused.add(scope)
    assert done == SAID
    assert refused == set(Scope)
    assert befallen == {"late", "cancelled", "twice"}


def test_every_sentence_stands_where_the_kit_says() -> None:
    said = [each for each in vars(promises).values() if isinstance(each, Promise)]
    assert len(said) > 30
    for promise in said:
        text = " ".join((ROOT / promise.where).read_text().replace('"""', " ").split())
        assert promise.sentence in text, f"{promise.where} does not say: {promise.sentence}"


def test_an_observer_that_shows_what_was_there_before_is_told_so(tmp_path: Path) -> None:
    class Shows(Kit):
        async def observe(self, driver: Driver) -> Seen:
            return Seen(disks=(Disk(id="theirs", pool_id="p"),))

    with pytest.raises(AssertionError, match=r"observe\(\) shows .* disk theirs at p .*; leave it out"):
        run(Shows(planted.Honest), LIFE, tmp_path)


def test_whoever_says_nothing_is_told_what_to_say(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="DriverConformance must say how its driver is opened"):
        run(DriverConformance(), LIFE, tmp_path)


def test_what_cannot_be_seen_is_not_compared() -> None:
    seen = Guest(vm_id="a", host_id="h", running=True)
    known = Guest(vm_id="a", host_id="h", running=True, boots=2, volumes=("v",))
    assert differences(Seen((known,)), Seen((seen,), None, None)) == []
    assert differences(Seen((), (Disk(id="v", pool_id="p"),)), Seen((seen,), None)) == [
        "guest a at h is there and should not be"
    ]


def test_the_world_is_left_as_it_was_found(tmp_path: Path) -> None:
    """Also when a check has failed half-way: the next one, on the same hypervisor, begins with nothing."""
    left: list[Seen] = []

    class Looks(Kit):
        async def observe(self, driver: Driver) -> Seen:
            found = await super().observe(driver)
            left.append(found)
            return found

    kit = Looks(planted.DoesNotMove)
    with pytest.raises(Broken):
        run(kit, LIFE, tmp_path)
    assert left[-1].guests
    run(kit, PLAIN, tmp_path)  # on the same home: it begins by seeing that nothing is there


def test_without_the_extra_the_kit_says_what_to_install() -> None:
    code = """
import sys
sys.modules["hypothesis"] = None
import interlock, interlock.testing
try:
    interlock.testing.DriverConformance
except ModuleNotFoundError as missing:
    print(missing)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("which is not installed; install the extra: pip install 'interlock[testing]'")


def test_the_engine_needs_neither_pytest_nor_hypothesis() -> None:
    code = (
        "import sys, interlock.testing; from interlock import Engine; print({'pytest', 'hypothesis'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
