"""Histories from the fuzzer: runs of it, with every decision that was handed to the store and what became of it."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from interlock.engine.core.decision import Decision
from interlock.engine.store.verdict import Verdict
from interlock.testing.fuzz import ground
from interlock.testing.fuzz.run import play
from interlock.testing.fuzz.store import MemoryStore

History: TypeAlias = tuple[MemoryStore, list[tuple[Decision, Verdict]]]
"""The tables at the end, and what was handed in, in order."""


def history(seed: str, number: int) -> History:
    """One run, which must break no promise.

    Args:
        seed: any text.
        number: which of the seed's runs.
    """
    stores: list[MemoryStore] = []
    handed: list[tuple[Decision, Verdict]] = []
    commit = MemoryStore.commit

    def kept(store: MemoryStore, decision: Decision) -> Verdict:
        verdict = commit(store, decision)
        stores.append(store)
        handed.append((decision, verdict))
        return verdict

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "commit", kept)
        outcome = play(ground.setting(), seed, number)
    assert outcome.violation is None
    return stores[0], handed
