"""The failure of a check: which sentence of the protocol is broken, by what, and what led to it.

Promises: whoever reads the message needs to know nothing of the kit: the sentence stands in the protocol, word for
word, and what was said to the plug-in is listed in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from interlock.testing.kits.promises import Promise

SHOWN = 60
"""Lines of a conversation in one message. Too low: the cause of a failure late in it is not shown; too high: nobody
reads it."""


class Broken(AssertionError):
    """A plug-in does not keep its protocol."""

    def __init__(self, promise: Promise, what: str, said: Sequence[str] = (), heading: str = "after") -> None:
        lines = [f"the protocol says: {promise}", f"but: {what}"]
        if said:
            left = len(said) - SHOWN
            lines += [f"{heading}:", *([f"  ... {left} more before"] if left > 0 else []), *said[-SHOWN:]]
        super().__init__("\n".join((*lines, f"see {promise.where}")))
        self.promise = promise
