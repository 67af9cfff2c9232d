"""The past as the core was shown it: records, cloud and figures as they stood before each decision.

Records follow from the journal (`Rebuild`), and what is held of the cloud follows from the ledger. `Past` also adds up
what the journal has written since any moment, to tell whether a decision saw all of that and nothing else: a decision
of an engine that had not yet heard of another's, or that counted on one which then lost its race, did not.

Never writes anywhere. Memory grows with the entities there are, not with the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import msgspec

from interlock.engine.core.decision import Change, Decision
from interlock.engine.core.events import Event, Requested
from interlock.engine.core.inputs import event_of, mark, sum_of
from interlock.engine.core.rebuild import Rebuild
from interlock.engine.core.snapshot import Sight, Snapshot
from interlock.engine.orchestrator.books import AddressesNeeded
from interlock.engine.orchestrator.inventory import GroupsNeeded, Inventory
from interlock.engine.store.memory import Case, MemoryStore
from interlock.engine.store.verdict import Committed, Verdict
from interlock.replay.decided import Piece
from interlock.schema.cloud import PLACES, Account, Domain, Host, Place, SecurityGroup, StoragePool
from interlock.schema.holdings import COUNTERS, Movement
from interlock.schema.records import Operation, Vm
from interlock.schema.requests import subject_of

T = TypeVar("T")
MOMENTS = 100_000
"""Moments of which the sum is known. Too few: what was decided on figures read long ago cannot be held against today's
code; too many: memory, 100 bytes each."""
PLAIN = frozenset({"cluster", "dedicated_to", "dedicated_to_others", "domains_above", "enabled", "ids", "setting"})
"""What says nothing of what is held."""
COUNTED = (Host, StoragePool, Account, Domain)
_movements = msgspec.json.Decoder(tuple[Movement, ...]).decode


class Watched:
    """A cloud, which notes whether anybody looked at what may not be as it was.

    Args:
        cloud: the figures.
        all_of_it: whether that is everything; else only what is held.
    """

    def __init__(self, cloud: Inventory, all_of_it: bool) -> None:
        self._cloud, self._all_of_it = cloud, all_of_it
        self.looked = False

    def __getattr__(self, name: str) -> Any:
        self.looked |= self._all_of_it or name not in PLAIN
        return getattr(self._cloud, name)

    def find(self, kind: type[Any], place_id: str) -> Any:
        """See `Cloud`."""
        self.looked |= self._all_of_it or kind in COUNTED
        return self._cloud.find(kind, place_id)

    def all(self, kind: type[Any]) -> Any:
        """See `Cloud`."""
        self.looked |= self._all_of_it or kind in COUNTED
        return self._cloud.all(kind)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the past: what was written, what it answered, and what stood before it."""

    piece: Piece
    changes: tuple[Change, ...]
    event: Event | None
    """None: the journal does not say."""
    case: Case
    known: bool
    """Whether the entities were as it saw them. Only a request may see them otherwise: it does not own them yet."""
    exact: bool
    """Whether it saw just what had been written before of all else."""

    @property
    def operation(self) -> Operation:
        """As it was left."""
        return next(change.after for change in reversed(self.changes) if isinstance(change.after, Operation))


class Past:
    """Steps through a journal.

    Args:
        places: the cloud before the first row; counters are ignored. Journals tell of it themselves.
    """

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self.rebuilt = Rebuild()
        self.store = MemoryStore(map(_unused, places), lambda _: None)
        self.cloud = Inventory({name: list(rows.values()) for name, rows in self.store.places.items()})
        self._sum = 0
        self._sums: OrderedDict[int, int] = OrderedDict({0: 0})
        self._cloud_row = 0

    # --- looking

    def scene(self, piece: Piece) -> Scene:
        """The next decision; its rows are checked, and `take` must follow.

        Raises:
            JournalBroken: its rows cannot follow those before.
            ValueError: no release of ours has written its input.
        """
        changes = tuple(self._change(row) for row in piece.rows)
        said, event = piece.input, None
        if said is not None:
            operation = next(change.after for change in changes if isinstance(change.after, Operation))
            event = event_of(said, piece.rows, operation)
        case = self._case(event, piece)
        known = not isinstance(event, Requested) or _is_of(said or {}, case)
        return Scene(piece=piece, changes=changes, event=event, case=case, exact=self._is_exact(piece), known=known)

    def _change(self, row: Any) -> Change:
        before = self.rebuilt.records[row.machine].get(row.entity_id)
        after = self.rebuilt.add(row)
        assert after is not None, "a row of the cloud is in no decision"
        return Change(machine=row.machine, before=before, after=after, ledger=_movements(row.ledger), entry=row)

    def _case(self, event: Event | None, piece: Piece) -> Case:
        if event is None:
            return Case(None, None, (), ())
        if isinstance(event, Requested):
            return self.store.subject(*subject_of(event.request))
        return self.store.case(piece.first.operation_id or "")

    def _is_exact(self, piece: Piece) -> bool:
        """Whether what the decision counted is what had been written before it."""
        since, counted = (piece.input or {}).get("saw", (None, ""))
        if since not in self._sums:
            return False
        self._sums.move_to_end(since)
        return f"{self._sum ^ self._sums[since]:08x}" == str(counted)

    def snapshot(self, scene: Scene) -> tuple[Snapshot, Watched]:
        """What the core was shown."""
        said = scene.piece.input or {}
        since, counted = said.get("saw", (0, ""))
        watched = Watched(self.cloud, all_of_it=self._cloud_row > since)
        shown: Any = self.cloud if scene.exact else watched
        operation, vm, nics, volumes = scene.case
        sight = Sight(since=since, counted=counted, rules=said["rules"]) if "saw" in said else None
        return (
            Snapshot(cloud=shown, sight=sight, operation=operation, vm=vm, nics=nics, volumes=volumes),
            watched,
        )

    def asked(self, work: Callable[[], T]) -> T:
        """Do what may want addresses or security groups that have not been read."""
        while True:
            try:
                return work()
            except AddressesNeeded as needed:
                self.cloud.open_book(needed.network_id, self.store.addresses(needed.network_id))
            except GroupsNeeded as needed:
                known = self.store.places["security_group"]
                self.cloud.put(known[each] for each in needed.group_ids)

    # --- going on

    def take(self, scene: Scene) -> None:
        """Go on, to after the decision."""
        self.store.take(scene.changes)
        decision = _decision(scene)
        self.cloud.hold(decision)
        self.cloud.settle(decision)
        self._goes_to(scene.piece, scene.operation.hash)

    def take_cloud(self, piece: Piece) -> None:
        """Go on, to after rows that tell of the cloud."""
        for row in piece.rows:
            self.rebuilt.add(row)
        if piece.first.operation_id is not None:
            self._learn_groups()  # they come with the decision behind them, and are counted with it
            return
        self.describe(place for found in self.rebuilt.places.values() for place in found.values())
        self._cloud_row = piece.rows[-1].seq
        self._goes_to(piece, piece.rows[-1].hash)

    def _learn_groups(self) -> None:
        known = self.store.places["security_group"]
        made = [each for id, each in self.rebuilt.places["security_group"].items() if id not in known]
        known.update({each.id: each for each in made})
        self.cloud.put(cast("list[SecurityGroup]", made))

    def write(self, decision: Decision) -> Verdict:
        """Go on with a decision that nobody has written: it is refused where a database would refuse it."""
        verdict = self.store.commit(decision)
        if isinstance(verdict, Committed):
            self.cloud.hold(decision)
            self.cloud.settle(decision)
        return verdict

    @property
    def places(self) -> tuple[Place, ...]:
        """The cloud as it is described now."""
        return tuple(place for found in self.store.places.values() for place in found.values())

    def describe(self, places: Iterable[Place]) -> None:
        """Have the cloud be as described, all of it; what is held of it stays held."""
        self.store.describe(places)
        self.cloud.load({name: list(rows.values()) for name, rows in self.store.places.items()})
        self.cloud.reload(self.store.usage(), self.store.tenants(), [(0,)])

    def _goes_to(self, piece: Piece, hash: str) -> None:
        self._sum ^= mark(hash)
        self._sums[piece.rows[-1].seq] = self._sum
        if len(self._sums) > MOMENTS:
            self._sums.popitem(last=False)


def _unused(place: Place) -> Place:
    """With nothing held of it."""
    name = next(name for name, kind in PLACES.items() if isinstance(place, kind))
    return msgspec.structs.replace(place, **dict.fromkeys(COUNTERS.get(name, ()), 0))


def _is_of(said: dict[str, Any], case: Case) -> bool:
    return "of" not in said or str(said["of"]) == sum_of(case.vm, *case.nics, *case.volumes)


def _decision(scene: Scene) -> Decision:
    """As much of it as figures want."""
    vms = [change.after for change in scene.changes if isinstance(change.after, Vm)]
    return Decision(
        operation=scene.operation,
        vm=vms[-1] if vms else scene.case.vm,
        nics=(),
        volumes=(),
        changes=scene.changes,
        effects=(),
        wake_at=None,
        outcome=None,
        if_fresh=False,
    )
