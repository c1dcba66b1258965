"""What waits to be sent to one agent: bounded, so that a reader who never reads costs a fixed amount and then its stream."""

from __future__ import annotations

import asyncio
from collections import deque

from headway_api.agent.v1 import agent_service_pb2 as pb


class Overflow(Exception):
    """The agent does not read: the queue is full."""


class Outbox:
    """A queue of messages for one writer, in three lanes. Answers to renewals go first: a lease is worth more than data.

    Answers are bounded here. Deliveries (grants, cancels) come last and are bounded by the session's slots, so that a burst of
    grants never costs a healthy agent its stream.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._urgent: deque[pb.SessionResponse] = deque()
        self._answers: deque[pb.SessionResponse] = deque()
        self._deliveries: deque[pb.SessionResponse] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def answer(self, message: pb.SessionResponse, *, urgent: bool = False) -> None:
        """Queue an answer, or raise Overflow."""
        if len(self._urgent) + len(self._answers) >= self._capacity:
            raise Overflow
        self._put(self._urgent if urgent else self._answers, message)

    def deliver(self, message: pb.SessionResponse) -> None:
        self._put(self._deliveries, message)

    async def get(self) -> pb.SessionResponse:
        """Take the next message; the one taken before counts as written."""
        while True:
            for lane in (self._urgent, self._answers, self._deliveries):
                if lane:
                    return lane.popleft()
            self._empty.set()
            self._filled.clear()
            await self._filled.wait()

    async def written(self) -> None:
        """Wait until nothing is left to write."""
        await self._empty.wait()

    def _put(self, lane: deque[pb.SessionResponse], message: pb.SessionResponse) -> None:
        lane.append(message)
        self._empty.clear()
        self._filled.set()
