"""Logging: one structured event per transition, bound to its operation and VM, and the troubles of the shell.

Everything goes through structlog. If the embedder has configured structlog, its configuration is used; if not, events
are rendered as `key=value` and handed to the standard logger "interlock", which is silent unless somebody listens.
Nothing global is changed. While nobody listens, a transition costs one comparison; structlog is imported when needed.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from interlock.engine.core.decision import Decision

_standard = logging.getLogger("interlock")
_standard.addHandler(logging.NullHandler())  # without it, errors of a silent library would land on stderr


def logger() -> Any:
    """The logger for the shell's own troubles."""
    import structlog

    return structlog.get_logger("interlock") if structlog.is_configured() else _quiet()


@cache
def _quiet() -> Any:
    import structlog

    return structlog.wrap_logger(
        _standard,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
    )


def say(level: str, event: str, **facts: Any) -> None:
    """Log one trouble. Whatever an embedder's logging does, it never stops the engine."""
    with suppress(Exception):
        getattr(logger(), level)(event, **facts)


def transitions(decision: Decision, first_seq: int) -> None:
    """Log what a committed decision changed."""
    if _listening():
        with suppress(Exception):
            _transitions(decision, first_seq)


def _transitions(decision: Decision, first_seq: int) -> None:
    about = {"vm": decision.vm.id, "vm_name": decision.vm.name} if decision.vm else {}
    bound = logger().bind(operation=decision.operation.id, kind=decision.operation.kind, **about)
    for number, entry in enumerate(decision.journal):
        bound.info(
            "transition",
            seq=first_seq + number,
            machine=entry.machine,
            entity=entry.entity_id,
            by=entry.event,
            source=entry.source,
            destination=entry.destination,
            cause=entry.cause,
        )


def _listening() -> bool:
    structlog = sys.modules.get("structlog")
    return _standard.isEnabledFor(logging.INFO) or (structlog is not None and structlog.is_configured())
