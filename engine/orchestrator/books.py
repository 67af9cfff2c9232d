"""The address books of all networks: each is read when it is first needed, and follows what is decided and written.

Promises: what a decision of ours takes is owned from then on, until it is dropped. An address that others turn out to
have, while a decision of ours waits with it, stays owned when that one is dropped; it is free when they give it back.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.engine.core.decision import Decision
from interlock.engine.orchestrator.addresses import AddressBook
from interlock.schema.holdings import FREE, Movement

ADDRESSES = ("ip", "ip6")
"""The things that books are about."""


class AddressesNeeded(Exception):
    """The address book of a network has not been read yet."""

    def __init__(self, network_id: str) -> None:
        super().__init__(network_id)
        self.network_id = network_id


class Books:
    """One per inventory."""

    def __init__(self) -> None:
        self.aside = 0
        """Where in a range addresses are looked for first; see `step_aside`."""
        self._open: dict[str, AddressBook] = {}
        self._elsewhere: set[str] = set()
        """Addresses that others have, and a waiting decision of ours is after; with their networks."""

    def __getitem__(self, network_id: str) -> AddressBook:
        """The book of a network.

        Raises:
            AddressesNeeded: it has not been read.
        """
        try:
            return self._open[network_id]
        except KeyError:
            raise AddressesNeeded(network_id) from None

    def open(self, network_id: str, owned: Iterable[str], waiting: Iterable[Decision]) -> None:
        """Keep the addresses that were read as owned, and those that are decided but not written."""
        self._open[network_id] = AddressBook(owned, self.aside)
        for decision in waiting:
            for movement in decision.ledger:
                if movement.thing in ADDRESSES and movement.where.partition("/")[0] == network_id:
                    self.move(movement, movement.giver == FREE)

    def close(self) -> None:
        """Have each read again when it is next needed."""
        self._open.clear()
        self._elsewhere.clear()

    def step_aside(self, how_far: int) -> None:
        """Another engine gives addresses of the same ranges: look for free ones elsewhere than it does."""
        self.aside = how_far
        for book in self._open.values():
            book.aside = how_far

    def move(self, movement: Movement, taking: bool) -> None:
        """An address is taken, or given back."""
        network_id, _, address = movement.where.partition("/")
        book = self._open.get(network_id)
        if book is None:
            return
        if taking:
            book.take(address)
        elif movement.where in self._elsewhere:
            self._elsewhere.discard(movement.where)
        else:
            book.give_back(address)

    def is_contested(self, theirs: Movement, waiting: Iterable[Decision]) -> bool:
        """Whether others move an address that a waiting decision of ours is after: it is owned before and after."""
        network_id, _, address = theirs.where.partition("/")
        book = self._open.get(network_id) if theirs.thing in ADDRESSES else None
        if book is None:
            return False
        if theirs.giver != FREE:
            there = theirs.where in self._elsewhere
            self._elsewhere.discard(theirs.where)
            return there
        if book.is_taken(address) and _is_after(theirs, waiting):
            self._elsewhere.add(theirs.where)
            return True
        return False


def _is_after(theirs: Movement, waiting: Iterable[Decision]) -> bool:
    ours = (each for decision in waiting for each in decision.ledger)
    return any((each.thing, each.where, each.giver) == (theirs.thing, theirs.where, FREE) for each in ours)
