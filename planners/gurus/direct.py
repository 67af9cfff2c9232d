"""The guru of shared networks: every account's NICs sit on the same wire.

Promises: asks nothing about the account; the rest is promised by `addresses.py`.
"""

from __future__ import annotations

from interlock.planners.gurus.addresses import allocate
from interlock.planners.protocol import Address, AddressView, NoAddress
from interlock.schema.cloud import Network
from interlock.schema.requests import NicRequest


class DirectGuru:
    """Gives addresses of shared networks, to any account."""

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        """The wished or the lowest free address, or why there is none."""
        return allocate(network, wish, taken, seed)
