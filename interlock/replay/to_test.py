"""A piece of history shrunk to what it takes to break a predicate, and written down as a test.

Shrinking (shrinking.py) keeps what still ends in the same way: the predicate fails, sees the same, and the operation
that failed last gives the same reason. Behind a reason's colon candidates are listed: some may be left out, with all
figures another, but whoever is still refused is refused for what somebody was refused for before.

Promises: what is written runs by itself with nothing but Interlock installed, and fails (pinned: passes) for the reason
that stands in its first lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from interlock.replay.excerpt import Excerpt
from interlock.replay.shrinking import renumbered, shortest
from interlock.replay.story import Played, Story
from interlock.schema.errors import InvalidRequest

WIDTH = 120
INDENT = "    "


class Seen(msgspec.Struct, frozen=True):
    """How a story ends."""

    said: str
    """What the predicate saw."""
    because: str
    """Why the operation that failed last did."""


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """What came of shrinking."""

    story: Story
    predicate: str
    seen: Seen
    events: int
    """Of the piece that was shrunk."""
    scrubbed: bool
    """Whether ids were replaced: a story that only fails under its own ids keeps them."""


def shrunk(excerpt: Excerpt, vm_ids: set[str] | None, predicate: str) -> Shrunk:
    """The shortest story, as far as leaving out goes, that breaks the predicate as the piece of history does.

    Args:
        excerpt: the history up to the end of the piece.
        vm_ids: the VMs of the piece; None: all.
        predicate: what should hold at the end.

    Raises:
        InvalidRequest: it holds, or the history does not say enough to be played.
    """
    story, seen = _broken(excerpt, vm_ids, predicate)
    events = len(story.steps)
    scrubbed = msgspec.structs.replace(
        story, steps=excerpt.scrub(list(story.steps)), places=excerpt.scrub(list(story.places))
    )
    words = excerpt.scrub(predicate)
    after = _seen(scrubbed, words)
    if after is not None:
        story, predicate, seen = scrubbed, words, after
    found = shortest(story, lambda each: _same(_seen(each, predicate), seen))
    if after is not None:
        found, predicate = _renumbered(found, predicate, seen)
    seen = _seen(found, predicate) or seen
    return Shrunk(story=found, predicate=predicate, seen=seen, events=events, scrubbed=after is not None)


def _renumbered(story: Story, predicate: str, seen: Seen) -> tuple[Story, str]:
    lower = renumbered(story)
    found = msgspec.structs.replace(story, steps=lower(list(story.steps)), places=lower(list(story.places)))
    words = lower(predicate)
    return (found, words) if _same(_seen(found, words), seen) else (story, predicate)


def _broken(excerpt: Excerpt, vm_ids: set[str] | None, predicate: str) -> tuple[Story, Seen]:
    """The story of these VMs alone, if that breaks the predicate; else that of all."""
    for chosen in (vm_ids, None) if vm_ids is not None else (None,):
        story = excerpt.story(chosen)
        if story.steps and (seen := _seen(story, predicate)) is not None:
            return story, seen
    if not excerpt.told:
        raise InvalidRequest("the journal does not say what the core was told: an older release wrote it")
    found = excerpt.story().play().finds(predicate)
    raise InvalidRequest(f"the predicate holds at the end of that: {found.said}; give one that fails, or another end")


def _seen(story: Story, predicate: str) -> Seen | None:
    """How a story breaks the predicate; None if it does not, or cannot be played."""
    try:
        played = story.play()
        found = played.finds(predicate)
    except InvalidRequest:
        raise
    except Exception:  # a cloud of which too much was left out
        return None
    return None if found.holds else Seen(found.said, _because(played))


def _because(played: Played) -> str:
    return next(iter(played.errors), "")


def _same(one: Seen | None, other: Seen) -> bool:
    if one is None or one.said != other.said:
        return False
    (why, kinds), (wanted, known) = _gist(one.because), _gist(other.because)
    return why == wanted and kinds <= known and bool(kinds) == bool(known)


def _gist(reason: str) -> tuple[str, frozenset[str]]:
    """What failed, and for what kinds of reasons candidates were refused: without their names and figures."""
    head, _, listed = reason.partition(": ")
    kinds = (re.sub(r"\d+", "#", re.sub(r"^\w+ \S+ ", "", each)) for each in listed.split("; ") if each)
    return head, frozenset(kinds)


# --- writing


def source(found: Shrunk, origin: str, *, pinned: bool) -> str:
    """The test, as Python.

    Args:
        origin: which piece of which journal, in words.
        pinned: it passes for as long as all is as it was recorded; else it fails for as long.
    """
    story = found.story
    parts = [f"    places={_literal(list(story.places), 1)},"]
    parts += [f"    policy={_literal(story.policy, 1)},"] if story.policy else []
    parts += [f"    capabilities={_literal(story.capabilities, 1)},"] if story.capabilities else []
    parts.append(f"    steps={_literal(list(story.steps), 1)},")
    return "\n".join([*_head(found, origin, pinned), "STORY = Story(", *parts, ")", "", "", *_test(found, pinned), ""])


def _head(found: Shrunk, origin: str, pinned: bool) -> Iterator[str]:
    fate = "It passes for as long as that is so." if pinned else "It fails for as long as that is so."
    yield f'"""{_text(origin)}, shrunk from {found.events} events to {len(found.story.steps)} by'
    yield "`interlock journal to-test`."
    yield ""
    yield f"What should hold at the end:  {_text(found.predicate)}"
    yield f"What is seen instead:         {_text(found.seen.said)}"
    if found.seen.because:
        yield f"Because:                      {_text(found.seen.because)}"
    yield ""
    yield fate
    yield '"""'
    yield ""
    yield "# ruff: noqa: E501"
    yield "from interlock.replay.story import Story"
    yield ""
    yield f"PREDICATE = {_quoted(found.predicate)}"


def _test(found: Shrunk, pinned: bool) -> Iterator[str]:
    name = re.sub(r"\W+", "_", found.predicate.lower()).strip("_")
    yield f"def test_{name}() -> None:"
    yield "    played = STORY.play()"
    yield "    found = played.finds(PREDICATE)"
    if pinned:
        yield f"    assert (found.holds, found.said) == (False, {_quoted(found.seen.said)})"
        if found.seen.because:
            yield f"    assert played.errors[:1] == [{_quoted(found.seen.because)}]"
    else:
        yield '    assert found.holds, "; ".join([found.said, *played.errors])'


def _text(words: str) -> str:
    """For a docstring."""
    return words.replace("\\", "\\\\").replace('"""', "'''")


def _quoted(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def _literal(value: Any, depth: int) -> str:
    """A value in Python, as formatters would have it."""
    flat = _flat(value)
    if len(flat) + depth * len(INDENT) <= WIDTH or not isinstance(value, list | tuple | dict):
        return flat
    pad, inner = INDENT * depth, INDENT * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{inner}{_quoted(key)}: {_literal(each, depth + 1)}," for key, each in value.items()]
        return "\n".join(["{", *lines, f"{pad}}}"])
    open, close = ("[", "]") if isinstance(value, list) else ("(", ")")
    return "\n".join([open, *(f"{inner}{_literal(each, depth + 1)}," for each in value), f"{pad}{close}"])


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_flat(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_flat, value)) + ("," if len(value) == 1 else "") + ")"
    return _quoted(value) if isinstance(value, str) else repr(value)
