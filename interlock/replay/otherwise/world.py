"""The world of a script: what places answer to commands, and how long that takes, as recorded where that applies.

    the same operation, command and place   what was recorded, each time in turn; then the last of it
    an operation that was refused for what its VM is
                                            is refused that command everywhere
    a place that refused such a command     refuses it until it was next recorded to do it for anybody
    else                                    Done

Promises: the same questions in the same order have the same answers; each is as of its moment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from statistics import median

from interlock.replay.otherwise.script import Answer, Ask, Script
from interlock.schema.commands import Done, Outcome, Refused, Scope

Spells = tuple[list[int], list[Refused | None]]
"""Times, and from then on: what is refused."""


class World:
    """Answers.

    Args:
        script: what was recorded.
    """

    def __init__(self, script: Script) -> None:
        self._own: dict[tuple[str, Ask], list[Outcome | None]] = defaultdict(list)
        self._of_vm: dict[tuple[str, str], Refused] = {}
        self._spells: dict[tuple[str, str], Spells] = defaultdict(lambda: ([], []))
        self._times: dict[tuple[str, Ask], int] = defaultdict(int)
        for answer in script.answers:
            self._read(answer)
        self._lags: dict[tuple[str, str], list[int]] = defaultdict(list)
        usual: dict[str, list[int]] = defaultdict(list)
        for lag in script.lags:
            self._lags[lag.operation_id, lag.step].append(lag.length)
            usual[lag.step].append(lag.length)
        self._usual = {step: int(median(lengths)) for step, lengths in usual.items()}

    def _read(self, answer: Answer) -> None:
        ask, outcome = answer.ask, answer.outcome
        self._own[answer.operation_id, ask].append(outcome)
        if isinstance(outcome, Refused) and outcome.scope is Scope.VM:
            self._of_vm[answer.operation_id, ask.command] = outcome
            return
        times, states = self._spells[ask.place, ask.command]
        times.append(answer.at)
        states.append(outcome if isinstance(outcome, Refused) else None)

    def answer(self, operation_id: str, ask: Ask, at: int) -> Outcome | None:
        """What is heard; None: nothing ever."""
        if recorded := self._own.get((operation_id, ask)):
            time = self._times[operation_id, ask]
            self._times[operation_id, ask] = time + 1
            return recorded[min(time, len(recorded) - 1)]
        return self._of_vm.get((operation_id, ask.command)) or self._spell(ask, at) or Done()

    def _spell(self, ask: Ask, at: int) -> Refused | None:
        times, states = self._spells.get((ask.place, ask.command), ((), ()))
        number = bisect_right(times, at)
        return states[number - 1] if number else None

    def lag(self, operation_id: str, step: str) -> int:
        """How long a step takes, in µs: as it did, or as it usually did."""
        if recorded := self._lags.get((operation_id, step)):
            return recorded.pop(0) if len(recorded) > 1 else recorded[0]
        return self._usual.get(step, 0)
