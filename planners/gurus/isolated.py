"""The guru of isolated networks: each belongs to one account, and only its VMs may join.

Promises: an account never gets an address in another's network; a network without an account lets nobody in,
rather than everybody. The rest is promised by `addresses.py`.
"""

from __future__ import annotations

from interlock.planners.gurus.addresses import allocate
from interlock.planners.protocol import Address, AddressView, NoAddress
from interlock.schema.cloud import Network
from interlock.schema.requests import NicRequest


class IsolatedGuru:
    """Gives addresses of an account's own network, to that account."""

    def allocate(
        self, network: Network, wish: NicRequest, taken: AddressView, account_id: str, seed: str
    ) -> Address | NoAddress:
        """The wished or the lowest free address, or why there is none."""
        if network.account_id is None:
            return NoAddress(
                f"network {network.id} is isolated but belongs to no account; give it one or choose another"
            )
        if network.account_id != account_id:
            return NoAddress(
                f"network {network.id} belongs to another account than {account_id}; choose one of your own"
            )
        return allocate(network, wish, taken, seed)
