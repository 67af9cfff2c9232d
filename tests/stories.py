"""Stories to tell: short lives of a VM in the fuzzer's universe, always the same, with times as in a real cloud.

`Story` drives the universe by itself, one event after another, with faults that were ordered for commands by name; each
delivery takes `EFFECT`. `rows` is the journal so far, as `Transition`s. Ids are those of the fuzzer: what the n-th
request makes is n-0 (operation), n-1 (VM), n-2 … (NICs, then disks).
"""

from __future__ import annotations

import msgspec

from interlock.schema.records import RECORDS
from interlock.schema.transition import Entry, Transition
from interlock.testing.fuzz import events as e
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.chance import progress, until_next
from interlock.testing.fuzz.hypervisor import Act
from interlock.testing.fuzz.network import Fault
from interlock.testing.fuzz.scenarios import DESTROY, RICH, STOP, Request
from interlock.testing.fuzz.universe import Universe

EFFECT = 1_250_000
"""µs that a command takes."""
HOUR = 3_600_000_000
WORKER = "w1"


def committed(entries: list[Entry]) -> list[Transition]:
    """The journal of a universe, numbered: what lives in it, not the cloud."""
    living = [each for each in entries if each.machine in RECORDS]
    return [Transition(seq=seq, **msgspec.structs.asdict(each)) for seq, each in enumerate(living, 1)]


class Story:
    """A universe that goes on by itself."""

    def __init__(self) -> None:
        self.universe = Universe(ground.setting(), (WORKER,))
        self.faults: list[tuple[str, Fault]] = []
        """Those that are still to fire: a command's name, and what befalls it."""
        self._asked = 0

    @property
    def rows(self) -> list[Transition]:
        """The journal."""
        return committed(self.universe.store.journal)

    def ask(self, request: Request) -> Story:
        """Have something asked, an hour after what was before, and go on until nothing does."""
        self._asked += 1
        kind, fields = request
        assert self.happen(e.Ask(worker=WORKER, number=self._asked, kind=kind, fields=fields)), request
        return self.go_on().wait()

    def wait(self, time: int = HOUR) -> Story:
        """Time goes by."""
        self.happen(e.Pass(time=time))
        return self

    def happen(self, event: e.Event) -> bool:
        """Have an event happen."""
        return self.universe.happen(event)

    def go_on(self) -> Story:
        """Until nothing goes on by itself any more."""
        while (event := self._next()) is not None:
            self.happen(event)
            if isinstance(event, e.Deliver):
                self.happen(e.Pass(time=EFFECT))
        return self

    def _next(self) -> e.Event | None:
        able = progress(self.universe)
        if not able:
            return until_next(self.universe) if self.universe.store.driven else None
        first = able[0]
        return msgspec.structs.replace(first, fault=self._fault(first)) if isinstance(first, e.Deliver) else first

    def _fault(self, event: e.Deliver) -> Fault | None:
        name = type(self.universe.network.sent[event.message].effect.command).__name__
        hit = next((each for each in self.faults if each[0] == name), None)
        if hit is None:
            return None
        self.faults.remove(hit)
        return hit[1]


def _with(*faults: tuple[str, Fault]) -> Story:
    story = Story()
    story.faults = list(faults)
    return story


def running() -> Story:
    """A deploy that nothing happened to."""
    return Story().ask(RICH)


def refused() -> Story:
    """Two hosts refuse it, the third runs it, after the network was busy once."""
    refusals = ("StartDomain", Fault.REFUSE), ("StartDomain", Fault.REFUSE)
    return _with(("PrepareNic", Fault.TRANSIENT), *refusals).ask(RICH)


def error() -> Story:
    """Its VM is refused: it never ran."""
    return _with(("StartDomain", Fault.REFUSE_VM)).ask(RICH)


def stuck() -> Story:
    """A stop that fails, and whose undo is refused for good."""
    return _with(("ReleaseNic", Fault.REFUSE), ("PrepareNic", Fault.REFUSE)).ask(RICH)


def unknown() -> Story:
    """Its host is not heard of any more."""
    story = Story().ask(RICH)
    story.happen(e.Outside(act=Act.IS_LOST, host="a1-h-1"))
    return story.ask(("follow", {"vm": "1-1", "host": "a1-h-1"}))


def followed() -> Story:
    """It halts behind our back, and the record follows."""
    story = Story().ask(RICH)
    story.happen(e.Outside(act=Act.CRASHES, guest="1-1", host="a1-h-1"))
    return story.ask(("follow", {"vm": "1-1", "host": "a1-h-1"}))


def nowhere() -> Story:
    """Nothing can take it: every host is asked about, none has room."""
    large = {"offering": "medium", "template": "t", "zone": "b", "account": "ben"}
    return Story().ask(("deploy", large)).ask(("deploy", large)).ask(("deploy", large))


def resolved() -> Story:
    """A Stuck deploy whose undo is asked for by a person, and goes through."""
    story = stuck()
    assert story.happen(e.Resolve(worker=WORKER, operation="1-0", way="undo"))
    return story.go_on().wait()


def taken_over() -> Story:
    """The worker that drives it is killed while the hypervisor works; another one goes on."""
    story = Story()
    kind, fields = RICH
    assert story.happen(e.Ask(worker=WORKER, number=1, kind=kind, fields=fields))
    while not story.universe.network.sent:
        assert story.happen(progress(story.universe)[0])
    assert story.happen(e.Crash(worker=WORKER)) and story.happen(e.Open(worker="w2"))
    assert story.wait(EFFECT).happen(e.Recover(worker="w2"))
    return story.go_on().wait()


def expunged() -> Story:
    """A whole life."""
    return Story().ask(RICH).ask(STOP).ask(DESTROY).ask(("expunge", {"vm": "1-1"}))


ABOUT = {"nowhere": "3-1"}
"""Which VM a story is about, if not the first one."""
STORIES = (running, refused, error, nowhere, stuck, resolved, taken_over, unknown, followed, expunged)


def main() -> None:
    """Write the answers that the tests compare with."""
    from interlock.pictures.lifelines import as_svg
    from tests.test_timeline import PICTURE, told
    from tests.test_why import GOLDEN, answer_to, text

    PICTURE.write_text(as_svg(told(refused())))

    for made in STORIES:
        (GOLDEN / f"why-{made.__name__}.txt").write_text(text(short(*answer_to(made), 80)))


if __name__ == "__main__":
    import os
    import time

    from interlock.cli.telling import short

    os.environ["TZ"] = "UTC"
    time.tzset()
    main()
