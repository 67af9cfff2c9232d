"""The draft of a decision: where the rules of the operations write down what shall become of what.

A rule reads `draft.vm`, `draft.nics`, … as they will be after what was written so far, and calls `move`, which checks
the transition table and the interlocks. The draft lives inside one call of `decide` and never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec

from interlock.engine.core.decision import Author, Change, Decision, Effect, End, change
from interlock.engine.core.events import Event
from interlock.engine.core.inputs import INPUT, input_of
from interlock.engine.core.snapshot import Cloud, Rules, Snapshot
from interlock.planners.protocol import Plan
from interlock.schema.cloud import SecurityGroup
from interlock.schema.commands import Outcome
from interlock.schema.errors import InterlockViolated, TableError
from interlock.schema.interlocks import BY_ENTRY, Standing, violated
from interlock.schema.machine import CREATED
from interlock.schema.machines import MACHINES
from interlock.schema.records import CHANGEABLE, MACHINE_OF, UNWRITTEN, Entity, Nic, Operation, Vm, Volume

E = TypeVar("E", Vm, Nic, Volume, Operation)
_CHANGEABLE = {name: frozenset(columns) for name, columns in CHANGEABLE.items()}


class Draft:
    """A decision in the making.

    Args:
        snapshot: the entities and the cloud as they are.
        event: what happened.
        rules: policy and plug-ins.
        actor: who asked.
        operation_id: the operation that moves; known before its record is made.
    """

    def __init__(self, snapshot: Snapshot, event: Event, rules: Rules, actor: str, operation_id: str) -> None:
        self.at = event.at
        self.operation_id = operation_id
        self.rules = rules
        self.cloud: Cloud = snapshot.cloud
        self.plan: Plan | None = None
        """What `place` chose, for the announcements that follow it in the same decision."""
        self.detail: dict[str, Any] = {}
        """What was decided on; goes into the operation's next journal row."""
        self.noted: dict[str, Any] = {}
        """Attributes of the operation that a rule wants kept; written with the operation's next transition."""
        self.effects: tuple[Effect, ...] = ()
        self.outcomes: tuple[Outcome, ...] = ()
        """What the effects of the present step have answered, in their order, while it is settled; else nothing."""
        self.if_fresh = False
        self._input: dict[str, Any] | None = input_of(event, snapshot)
        """Goes into the first row, whatever that is about."""
        self._author = Author(at=event.at, operation_id=operation_id, actor=actor)
        self.groups: tuple[SecurityGroup, ...] = ()
        """Security groups that are made with the request, unless they are there."""
        self._changes: list[Change] = []
        self._operation = self._written = snapshot.operation
        """What rules see, and what was written last: they differ while attributes are carried."""
        self._vm = snapshot.vm
        self._nics = {nic.id: nic for nic in snapshot.nics}
        self._volumes = {volume.id: volume for volume in snapshot.volumes}
        self.steps: tuple[Any, ...] | None = None
        """Those of the operation, once they are known: they follow from its request, which never changes."""

    @property
    def operation(self) -> Operation:
        """The operation as it will be."""
        assert self._operation is not None
        return self._operation

    @property
    def vm(self) -> Vm:
        """The VM as it will be; only an operation on a disk that belongs to none has none."""
        assert self._vm is not None
        return self._vm

    @property
    def has_vm(self) -> bool:
        """Whether there is one."""
        return self._vm is not None

    @property
    def nics(self) -> tuple[Nic, ...]:
        """The VM's NICs as they will be, by device."""
        return tuple(self._nics.values())

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """The VM's volumes as they will be, by device."""
        return tuple(self._volumes.values())

    def create(self, record_type: type[E], /, **attributes: Any) -> E:
        """Write a new record in its machine's first state."""
        machine = MACHINES[MACHINE_OF[record_type]]
        record = record_type(
            **attributes, created_at=self.at, state=machine.initial, since=self.at, version=1, hash=UNWRITTEN
        )
        return self._write(None, record, CREATED, None)

    def move(self, entity: E, event: str, *, cause: str | None = None, **attributes: Any) -> E:
        """Take one transition, with attributes that change along.

        Raises:
            IllegalTransition: the table has no such row.
            InterlockViolated: something else does not stand where this needs it.
        """
        machine = MACHINES[MACHINE_OF[type(entity)]]
        before = self._present(entity)
        if isinstance(before, Operation):
            attributes, self.noted = {**self.noted, **attributes}, {}
        if not attributes.keys() <= _CHANGEABLE[machine.name]:
            raise TableError(f"a transition of a {machine.name} may not change {', '.join(attributes)}; see CHANGEABLE")
        state = machine.destination(before.state, event, before.id)
        after = msgspec.structs.replace(
            before,
            **attributes,
            state=state,
            version=before.version + 1,
            since=self.at if state != before.state else before.since,
        )
        if state != before.state:
            self._check(machine.name, after)
        return self._write(before, after, event, cause, attributes)

    def _present(self, entity: E) -> E:
        """As it is after what was written so far."""
        known: Any
        if isinstance(entity, Nic):
            known = self._nics[entity.id]
        elif isinstance(entity, Volume):
            known = self._volumes[entity.id]
        else:
            known = self._vm if isinstance(entity, Vm) else self._written
        return cast(E, known)

    def carry(self, **attributes: Any) -> None:
        """Have rules see the operation with other attributes from here on; written with its next transition."""
        self._operation = msgspec.structs.replace(self.operation, **attributes)
        self.noted |= attributes

    def _check(self, machine: str, entity: Entity) -> None:
        if (machine, entity.state) not in BY_ENTRY:
            return
        reasons = violated(MACHINES[machine], entity.state, entity, self._standing())
        if reasons:
            raise InterlockViolated(f"{machine} {entity.id} may not become {entity.state}: {'; '.join(reasons)}")

    def _standing(self) -> Iterable[Standing]:
        if self._vm is not None:
            yield Standing(machine="vm", id=self._vm.id, state=self._vm.state)
        for nic in self._nics.values():
            yield Standing(machine="nic", id=nic.id, state=nic.state)
        for volume in self._volumes.values():
            yield Standing(machine="volume", id=volume.id, state=volume.state)

    def _write(
        self, before: E | None, after: E, event: str, cause: str | None, touched: Iterable[str] | None = None
    ) -> E:
        detail = {}
        if isinstance(after, Operation) and self.detail:
            detail, self.detail = self.detail, {}
        if self._input is not None:
            detail[INPUT], self._input = self._input, None
        made = change(before, after, event, self._author, cause, detail, touched)
        self._changes.append(made)
        self._keep(made.after)
        return cast(E, made.after)

    def _keep(self, entity: Entity) -> None:
        if isinstance(entity, Operation):
            self._operation = self._written = entity
        elif isinstance(entity, Vm):
            self._vm = entity
        elif isinstance(entity, Nic):
            self._nics[entity.id] = entity
        else:
            self._volumes[entity.id] = entity

    def decision(self) -> Decision:
        """What has been written, as a value."""
        operation = self.operation
        ended = operation.state in END_STATES
        return Decision(
            operation=operation,
            vm=self._vm,
            nics=self.nics,
            volumes=self.volumes,
            changes=tuple(self._changes),
            effects=self.effects,
            wake_at=None if ended else operation.wake_at,
            outcome=End(operation.state) if ended else None,
            if_fresh=self.if_fresh,
            groups=self.groups,
        )


END_STATES = frozenset(end.value for end in End)
