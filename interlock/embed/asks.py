"""What the parts of `Engine` that ask for operations stand on."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.embed.handle import Handle
from interlock.schema.requests import Request


class Asks(ABC):
    """Mixed into `Engine`, which submits the requests."""

    @abstractmethod
    async def submit(
        self,
        request: Request,
        *,
        connection: AsyncConnection | None = None,
        actor: str | None = None,
        caller: str | None = None,
    ) -> Handle:
        """Ask for any operation; see `Engine`."""
