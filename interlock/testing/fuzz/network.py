"""The network between workers and hypervisor: it delivers late, twice, not at all, and lies about it, on order.

A fault is one row of `FAULTS`: how often the effect of the message it hits happens, when, and what is answered. It is
ordered at the delivery of one message, so a fault that is ordered fires; one whose answer would promise that nothing
happened does not hit a token that is Done, for the protocol says that such a token is answered Done.

Promises: a message that was sent stays until it is delivered, whatever becomes of its sender. Nothing is lost by
chance: only by order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from interlock.engine.core.decision import Effect
from interlock.schema.commands import AtPool, Done, Outcome, Refusal, Refused, Scope
from interlock.testing.fuzz.hypervisor import Hypervisor


class Fault(StrEnum):
    """What can befall a message."""

    REFUSE = "refuse"
    REFUSE_VM = "refuse-vm"
    TRANSIENT = "transient"
    FAIL_UNKNOWN = "fail-unknown"
    LOST_REPLY = "lost-reply"
    LATE = "late"
    HANG = "hang"
    MUTE = "mute"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Course:
    """What a fault does.

    `times`: how often the effect happens at delivery; `later`: whether the message comes again, some time; `answer`:
    the refusal that is heard; `heard`: whether anything is.
    """

    meaning: str
    times: int
    later: bool = False
    answer: Refusal | None = None
    heard: bool = True
    scope: Scope | None = None

    @property
    def denies(self) -> bool:
        """Whether it says that nothing happened."""
        return self.answer in (Refusal.PERMANENT, Refusal.TRANSIENT)


FAULTS: dict[Fault, Course] = {
    Fault.REFUSE: Course("refused for good", 0, answer=Refusal.PERMANENT),
    Fault.REFUSE_VM: Course("this VM is refused for good", 0, answer=Refusal.PERMANENT, scope=Scope.VM),
    Fault.TRANSIENT: Course("busy, try again", 0, answer=Refusal.TRANSIENT),
    Fault.FAIL_UNKNOWN: Course("the connection breaks before", 0, answer=Refusal.UNKNOWN),
    Fault.LOST_REPLY: Course("done, and the reply is lost", 1, answer=Refusal.UNKNOWN),
    Fault.LATE: Course("times out, and is done later", 0, later=True, answer=Refusal.UNKNOWN),
    Fault.HANG: Course("no answer, and done after the deadline or never", 0, later=True, heard=False),
    Fault.MUTE: Course("done, and no answer ever", 1, heard=False),
    Fault.DUPLICATE: Course("done twice", 2),
}


@dataclass(frozen=True, slots=True)
class Message:
    """A command on its way."""

    name: str
    """Its token and which sending of it this is."""
    worker: str
    operation_id: str
    index: int
    """Which of its decision's effects."""
    effect: Effect
    fence: int


class Network:
    """All messages on their way.

    Args:
        hypervisor: carries out what arrives.
        performed: told each message after it was carried out, with the outcome.
    """

    def __init__(self, hypervisor: Hypervisor, performed: Callable[[Message, Outcome], None]) -> None:
        self.hypervisor = hypervisor
        self.sent: dict[str, Message] = {}
        self.held: dict[str, Message] = {}
        """Those that come again, or late."""
        self._performed = performed
        self._sendings: dict[str, int] = {}
        self._done: set[str] = set()

    def send(self, worker: str, operation_id: str, index: int, effect: Effect, fence: int) -> Message:
        """Put a command on its way."""
        count = self._sendings[effect.token] = self._sendings.get(effect.token, 0) + 1
        message = Message(f"{effect.token}#{count}", worker, operation_id, index, effect, fence)
        self.sent[message.name] = message
        return message

    def deliver(self, message: Message, fault: Fault | None) -> tuple[Outcome | None, Fault | None]:
        """Deliver a message; returns what its sender hears (None: nothing), and the fault if it fired."""
        del self.sent[message.name]
        course = FAULTS[fault] if fault is not None else None
        if course is None or fault is None or (course.denies and message.effect.token in self._done):
            return self._perform(message), None
        outcome = [self._perform(message) for _ in range(course.times)]
        if course.later:
            self.held[message.name] = message
        if not course.heard:
            return None, fault
        if course.answer is None:
            return outcome[-1], fault
        command = message.effect.command
        scope = course.scope or (Scope.POOL if isinstance(command, AtPool) else Scope.HOST)
        return Refused(kind=course.answer, scope=scope, reason=f"{command.at}: {course.meaning}"), fault

    def arrive(self, name: str) -> None:
        """A message that was held is carried out; nobody hears of it."""
        self._perform(self.held.pop(name))

    def abandon(self, operation_id: str, fence: int) -> None:
        """The sender of an operation's messages waits for them no more: they may still arrive."""
        for name, message in list(self.sent.items()):
            if message.operation_id == operation_id and message.fence <= fence:
                self.held[name] = self.sent.pop(name)

    def _perform(self, message: Message) -> Outcome:
        outcome = self.hypervisor.perform(message.effect.command, token=message.effect.token, fence=message.fence)
        if isinstance(outcome, Done):
            self._done.add(message.effect.token)
        self._performed(message, outcome)
        return outcome
