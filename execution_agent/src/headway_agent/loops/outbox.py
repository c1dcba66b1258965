"""What waits to be sent: renewals and other short words go ahead of data."""

import asyncio
from collections import deque

from headway_api.agent.v1 import agent_service_pb2 as wire


class Outbox:
    """Belongs to one stream. Data is bounded by credits, urgent words by their nature."""

    def __init__(self) -> None:
        self._urgent: deque[wire.SessionRequest] = deque()
        self._data: deque[wire.SessionRequest] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    def put_urgent(self, message: wire.SessionRequest) -> None:
        if self._ended:
            return
        self._urgent.append(message)
        self._wake.set()

    def put(self, message: wire.SessionRequest) -> None:
        if self._ended:
            return
        self._data.append(message)
        self._wake.set()

    def end(self) -> None:
        """Nothing more is sent but the urgent words that wait, the last of which is Goodbye: nothing may follow it.
        Data that did not leave lies in files, for the next session.
        """
        self._ended = True
        self._data.clear()
        self._wake.set()

    async def next(self) -> wire.SessionRequest | None:
        while True:
            for waiting in (self._urgent, self._data):
                if waiting:
                    return waiting.popleft()
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()
