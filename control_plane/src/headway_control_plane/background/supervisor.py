"""Starts services in order, stops them in reverse, and ends the process when one dies."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from headway_control_plane.background.service import Service


class ServiceEnded(Exception):
    """A service ended although nobody stopped it."""


class Supervisor:
    """Keeps a fixed list of services. A process with one loop fewer would look alive and be wrong, so it ends instead."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = tuple(services)
        self._ended: asyncio.Queue[Service] = asyncio.Queue()
        self._stopping = False

    def start(self) -> None:
        self._stopping = False
        for service in self.services:
            service.start(self._note_end)

    async def stop(self) -> None:
        """Stop all, the last started first; all are stopped even when one of them fails on the way."""
        self._stopping = True
        for service in reversed(self.services):
            await service.stop()

    async def wait(self) -> None:
        """Wait until a service ends by itself; raise its error. Cancel this to stop waiting."""
        service = await self._ended.get()
        if service.error is not None:
            raise service.error
        raise ServiceEnded(f"{service.name} ended although nobody stopped it")

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _note_end(self, service: Service) -> None:
        if not self._stopping:
            self._ended.put_nowait(service)
