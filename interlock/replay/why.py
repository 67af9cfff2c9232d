"""why: the chain from a request to the present state of a VM, a disk, a NIC or an operation, from the journal alone.

Promises: every row that is given is in the answer; the answer follows from the rows and from nothing else, so it is the
same for what lives, for what is gone, and for a journal of another installation. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.engine.core.operations import PROGRAMS
from interlock.replay.chapters import Call, Chapter, Choice, Item, Turn, chapters
from interlock.schema.errors import NotFound
from interlock.schema.requests import KINDS
from interlock.schema.transition import Transition

UNASKED = ("follow", "secure", "evict")
"""Operations that the engine asks for by itself."""


@dataclass(frozen=True)
class Answer:
    """Why an entity is as it is."""

    machine: str
    id: str
    name: str
    state: str
    since: int
    """When it came into its state, µs."""
    by: Transition
    """The transition that brought it there."""
    chapters: tuple[Chapter, ...]
    decisive: int
    """The chapter of that transition."""
    host: str | None
    """The host that the VM holds."""

    @property
    def later(self) -> tuple[Chapter, ...]:
        """Chapters after the decisive one: they have left the state as it is, so far."""
        return self.chapters[self.decisive + 1 :]

    @property
    def waiting(self) -> Chapter | None:
        """An operation that has not ended: it owns the VM."""
        return next((each for each in reversed(self.chapters) if each.id and not each.is_over), None)

    @property
    def may_be_asked(self) -> tuple[str, ...]:
        """What a person may ask of the VM as it stands; nothing while an operation owns it."""
        if self.machine != "vm" or self.waiting is not None:
            return ()
        return tuple(
            kind
            for kind, each in PROGRAMS.items()
            if self.state in each.accepts and kind not in UNASKED and "vm" in KINDS[kind].__struct_fields__
        )


def why(rows: Sequence[Transition], machine: str, entity_id: str) -> Answer:
    """The answer about one entity.

    Args:
        rows: its history in the journal's order, with all rows of the operations that touched it.
        machine: vm, volume, nic or operation.
        entity_id: its id.

    Raises:
        NotFound: no row is about it.
    """
    own = [row for row in rows if (row.machine, row.entity_id) == (machine, entity_id)]
    if not own:
        raise NotFound(f"the journal has no transition of {machine} {entity_id}; is it that of another database?")
    told = chapters(rows)
    # The present state was entered by the last row that came from another state.
    by = next((row for row in reversed(own) if row.source != row.destination), own[0])
    known = _known(own)
    return Answer(
        machine=machine,
        id=entity_id,
        name=str(known.get("name") or known.get("kind") or entity_id),
        state=own[-1].destination,
        since=by.at,
        by=by,
        chapters=tuple(told),
        decisive=next(number for number, each in enumerate(told) if by in each.rows),
        host=known.get("host_id"),
    )


def _known(own: Iterable[Transition]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for row in own:
        known |= row.changed
    return known


def document(answer: Answer) -> dict[str, Any]:
    """The answer for programs."""
    return {
        "machine": answer.machine,
        "id": answer.id,
        "name": answer.name,
        "state": answer.state,
        "since": answer.since,
        "host": answer.host,
        "by": {"seq": answer.by.seq, "event": answer.by.event, "cause": answer.by.cause},
        "operation": answer.chapters[answer.decisive].id,
        "may_be_asked": list(answer.may_be_asked),
        "chapters": [_chapter(each) for each in answer.chapters],
    }


def _chapter(chapter: Chapter) -> dict[str, Any]:
    kept = {name: chapter.fields.get(name) for name in ("actor", "caller_id", "request", "worker_id", "attempt")}
    return {
        "operation": chapter.id,
        "kind": chapter.kind,
        "state": chapter.state,
        "began": chapter.began,
        "last": chapter.last,
        **kept,
        "error": chapter.error,
        "ways_out": list(chapter.ways_out),
        "avoid": list(chapter.fields.get("avoid", ())),
        "reasons": list(chapter.fields.get("reasons", ())),
        "seen": chapter.fields.get("kept", {}).get("seen"),
        "items": [_item(each) for each in chapter.items],
        "transitions": [row.seq for row in chapter.rows],
    }


def _item(item: Item) -> dict[str, Any]:
    head = {"what": type(item).__name__.lower(), "seq": item.row.seq, "at": item.row.at}
    match item:
        case Choice():
            chosen = {"planner": item.planner, "host": item.host, "pools": list(item.pools)}
            refused = {"rejected": [list(each) for each in item.rejected], "rejected_in_all": item.rejected_in_all}
            return {**head, **chosen, **refused}
        case Call():
            answered = {"outcomes": item.outcomes and list(item.outcomes), "took": item.took}
            return {**head, "step": item.step, "undoing": item.undoing, "effects": list(item.effects), **answered}
        case Turn():
            said = {"machine": item.row.machine, "event": item.row.event, "cause": item.row.cause}
            more = {"avoided": list(item.avoided), "reasons": list(item.reasons), "wake_at": item.wake_at}
            return {**head, **said, **more}
