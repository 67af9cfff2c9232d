"""What an exhibit is: a bug that some system had, put into ours for as long as a context lasts.

Promises: nothing is left of it afterwards. `Fired` counts how often the bug did something else than the right code
would have done: an exhibit that is found without having fired was not found, and one that never fires proves nothing
(omicron 3265 had a fault-injection test whose fault never fired).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass


class Fired:
    """Counts how often a bug has made a difference."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        """It just did."""
        self.count += 1


Plant = Callable[[Fired], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One bug.

    `bug`: its class, in a few words; `source`: where it was seen; `does`: what ours does wrong with it; `promises`:
    those of the oracle that it may break, of which one must catch it.
    """

    name: str
    bug: str
    source: str
    does: str
    promises: tuple[str, ...]
    plant: Plant


EXHIBITS: dict[str, Exhibit] = {}
"""All, in the order of the rooms."""


def exhibit(
    *, bug: str, source: str, promises: tuple[str, ...]
) -> Callable[[Callable[[Fired], Iterator[None]]], Callable[[Fired], Iterator[None]]]:
    """Hang a bug in the museum: a generator that puts it in, yields once, and takes it out. Its docstring is `does`."""

    def hang(plant: Callable[[Fired], Iterator[None]]) -> Callable[[Fired], Iterator[None]]:
        name = plant.__name__.replace("_", "-")
        does = " ".join((plant.__doc__ or "").split())
        EXHIBITS[name] = Exhibit(name, bug, source, does, promises, contextmanager(plant))
        return plant

    return hang
