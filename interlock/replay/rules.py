"""The rules that a recorded decision was made under: its policy, and the plug-ins of these names that are installed.

A plug-in that is not installed here is stood in for: it does nothing but remember that it was wanted, so that what
follows without it is not taken for a change of the core.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from interlock.engine.core.inputs import Recipe, mark_of
from interlock.engine.core.snapshot import Rules
from interlock.planners.protocol import HostPlanner, NetworkGuru
from interlock.schema.commands import Capability
from interlock.schema.errors import NotFound

T = TypeVar("T")


class Absent:
    """In place of a planner or a guru that is not installed here."""

    def __init__(self, name: str, wanted: set[str]) -> None:
        self._name, self._wanted = name, wanted

    def plan(self, *_: Any) -> Any:
        """It cannot be asked."""
        self._wanted.add(f"planner {self._name}")
        raise LookupError(f"planner {self._name} is not installed here")

    def allocate(self, *_: Any) -> Any:
        """It cannot be asked."""
        self._wanted.add(f"guru {self._name}")
        raise LookupError(f"guru {self._name} is not installed here")

    reserve = allocate


class Book:
    """All rules that a journal names.

    Args:
        planners, gurus: those that are installed here.
    """

    def __init__(self, planners: Mapping[str, HostPlanner], gurus: Mapping[str, NetworkGuru]) -> None:
        self._planners, self._gurus = planners, gurus
        self._known: dict[str, Rules] = {}
        self.wanted: set[str] = set()
        """Plug-ins that were asked and are not here; whoever asks clears it first."""

    def rules(self, said: Any) -> Rules | None:
        """The rules of an input: of their mark, or in full; None if the journal has not said what that is."""
        if not isinstance(said, dict):
            return self._known.get(str(said))
        recipe = msgspec.convert(said, Recipe)
        return self._known.setdefault(mark_of(recipe), self._made(recipe))

    def planner(self, name: str) -> HostPlanner:
        """A planner that is installed.

        Raises:
            NotFound: it is not.
        """
        if name not in self._planners:
            raise NotFound(f"there is no planner {name!r}; there are: {', '.join(sorted(self._planners))}")
        return self._planners[name]

    def guru(self, name: str) -> NetworkGuru:
        """A guru that is installed.

        Raises:
            NotFound: it is not.
        """
        if name not in self._gurus:
            raise NotFound(f"there is no guru {name!r}; there are: {', '.join(sorted(self._gurus))}")
        return self._gurus[name]

    def _made(self, recipe: Recipe) -> Rules:
        able = {name: frozenset(map(Capability, able)) for name, able in recipe.capabilities.items()}
        return Rules(
            policy=recipe.policy,
            planners=self._named(recipe.planners, self._planners),
            gurus=self._named(recipe.gurus, self._gurus),
            capabilities=able,
        )

    def _named(self, names: Iterable[str], installed: Mapping[str, T]) -> dict[str, Any]:
        return {name: installed.get(name) or Absent(name, self.wanted) for name in names}
