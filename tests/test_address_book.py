"""The address book equals a plain set of addresses, of both families, whatever is taken and given back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.orchestrator.addresses import PAGE, AddressBook
from interlock.engine.store.feed import Moved, News
from interlock.planners.protocol import AddressView
from interlock.schema.holdings import FREE, Movement
from tests.clerk import a_vm, clerk

AT_A_SEAM = 10 * 2**24 + 3 * PAGE
"""Where a page of the book begins."""
near = st.integers(-6, 6).map(lambda away: AT_A_SEAM + away)
edges = st.sampled_from([0, 1, PAGE, 2**32 - PAGE, 2**32 - 2, 2**32 - 1])
ipv4 = (near | edges).map(lambda number: str(IPv4Address(number)))
ipv6 = st.sampled_from([0, 1, 2**64 + 5, 2**128 - 1]).map(lambda number: str(IPv6Address(number)))
moves = st.lists(st.tuples(st.booleans(), ipv4 | ipv6))


def moved(changes: list[tuple[bool, str]], owned: set[str]) -> tuple[AddressBook, set[str]]:
    """A book and a set, both after the same changes."""
    book, plain = AddressBook(owned), set(owned)
    for takes, address in changes:
        (book.take if takes else book.give_back)(address)
        (plain.add if takes else plain.discard)(address)
    return book, plain


@given(owned=st.sets(ipv4 | ipv6), changes=moves, asked=ipv4 | ipv6)
def test_what_is_taken_is_what_was_taken_and_not_given_back(
    owned: set[str], changes: list[tuple[bool, str]], asked: str
) -> None:
    book, plain = moved(changes, owned)
    assert book.is_taken(asked) == (asked in plain)
    assert all(book.is_taken(address) for address in plain)


@given(owned=st.sets(ipv4), changes=moves, first=near, last=near)
def test_the_first_free_address_is_the_lowest_that_is_not_taken(
    owned: set[str], changes: list[tuple[bool, str]], first: int, last: int
) -> None:
    book, plain = moved(changes, owned)
    stretch = (str(IPv4Address(number)) for number in range(first, last + 1))
    expected = next((address for address in stretch if address not in plain), None)
    assert book.first_free(str(IPv4Address(first)), str(IPv4Address(last))) == expected


@given(owned=st.sets(ipv4), aside=st.integers(1, 2**40), first=near, last=near)
def test_a_book_that_stands_aside_finds_what_is_free_and_begins_elsewhere(
    owned: set[str], aside: int, first: int, last: int
) -> None:
    book = AddressBook(owned, aside)
    stretch = [str(IPv4Address(number)) for number in range(first, last + 1)]
    begin = aside % max(1, len(stretch))
    expected = next((each for each in (*stretch[begin:], *stretch[:begin]) if each not in owned), None)
    assert book.first_free(str(IPv4Address(first)), str(IPv4Address(last))) == expected


@given(free=st.none() | st.integers(0, 3 * PAGE - 1))
def test_the_only_free_address_of_several_full_pages_is_found(free: int | None) -> None:
    book = AddressBook(str(IPv4Address(AT_A_SEAM + place)) for place in range(3 * PAGE) if place != free)
    found = book.first_free(str(IPv4Address(AT_A_SEAM)), str(IPv4Address(AT_A_SEAM + 3 * PAGE - 1)))
    assert found == (None if free is None else str(IPv4Address(AT_A_SEAM + free)))


def test_the_last_address_there_is_may_be_free_or_taken() -> None:
    book = AddressBook()
    assert book.first_free("255.255.255.255", "255.255.255.255") == "255.255.255.255"
    book.take("255.255.255.255")
    assert book.first_free("255.255.255.255", "255.255.255.255") is None


def test_one_ipv6_address_is_one_in_every_spelling() -> None:
    book = AddressBook(["2001:db8::a"])
    assert book.is_taken("2001:0DB8:0:0:0:0:0:A")
    book.give_back("2001:DB8::A")
    assert not book.is_taken("2001:db8::a")


def test_a_book_is_what_gurus_are_shown() -> None:
    assert isinstance(AddressBook(), AddressView)


@pytest.mark.parametrize("given_back", [False, True])
@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_an_address_that_others_have_meanwhile_is_not_free_when_ours_is_dropped(
    cloud_url: str, dialect: str, given_back: bool
) -> None:
    """It is again once they have given it back, before or after."""
    async with clerk(cloud_url) as ours:
        decision = await ours.ask(a_vm("ours"))
        ours.inventory.hold(decision)
        where = next(each.where for each in decision.ledger if each.thing == "ip")
        network_id, _, address = where.partition("/")
        ours.inventory.follow(_news(where, FREE, "theirs"))
        if given_back:
            ours.inventory.follow(_news(where, "theirs", FREE))
        assert ours.inventory.addresses(network_id).is_taken(address)
        ours.inventory.drop(decision)
        assert ours.inventory.addresses(network_id).is_taken(address) is not given_back
        ours.inventory.follow(_news(where, "theirs", FREE))
        assert not ours.inventory.addresses(network_id).is_taken(address)


def _news(where: str, giver: str, taker: str) -> News:
    moved = Movement(thing="ip", where=where, giver=giver, taker=taker, amount=1)
    return News(head=10**6, moved=(Moved(moved, None),), cloud=frozenset())
