"""How bugs are put in and taken out again: attributes of modules, classes and frozen values, and entries of tables.

Never leaves anything behind: what was there is there again, whatever was raised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from interlock.engine.core.operations import PROGRAMS
from interlock.engine.core.program import Step


@contextmanager
def swapped(owner: Any, **attributes: Any) -> Iterator[None]:
    """Give a module, a class or a value other attributes; a frozen value, too."""
    write = setattr if isinstance(owner, ModuleType | type) else object.__setattr__
    before = {name: getattr(owner, name) for name in attributes}
    try:
        for name, value in attributes.items():
            write(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            write(owner, name, value)


@contextmanager
def everywhere(function: Callable[..., Any], by: Callable[..., Any]) -> Iterator[None]:
    """Put `by` in the place of a function, in each of our modules that has it under its name."""
    name = function.__name__
    modules = [each for path, each in sys.modules.items() if path.startswith("interlock.")]
    with ExitStack() as stack:
        for module in modules:
            if getattr(module, name, None) is function:
                stack.enter_context(swapped(module, **{name: by}))
        yield


@contextmanager
def entry(table: MutableMapping[Any, Any], key: Any, value: Any) -> Iterator[None]:
    """Another value in a table."""
    before = table[key]
    table[key] = value
    try:
        yield
    finally:
        table[key] = before


def step_of(kind: str, name: str) -> Step:
    """A step of an operation; its acts may be shared with other operations."""
    return next(step for step in PROGRAMS[kind].steps if step.name == name)
