"""What waits to be sent to one agent: bounded, so that a reader who never reads costs a fixed amount and then its stream."""

from __future__ import annotations

import asyncio
from collections import deque

from headway_api.agent.v1 import agent_service_pb2 as pb

MOST_TOGETHER = 256
_TAG = 8  # a part's own tag and length


class Overflow(Exception):
    """The agent does not read: the queue is full."""


class Outbox:
    """A queue of messages for one writer, in three lanes. Answers to renewals go first: a lease is worth more than data.

    Answers are bounded here. Deliveries (grants, cancels) come last and are bounded by the session's slots, so that a burst of
    grants never costs a healthy agent its stream.

    What waits at one moment leaves together where the agent takes that: each message of a stream costs both sides a tenth of a
    millisecond and more, whatever it says.
    """

    together_bytes = 0
    """Of several messages in one; 0: each goes alone."""

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
        """Take the next message, or all that go with it in one; what was taken before counts as written."""
        while not (self._urgent or self._answers or self._deliveries):
            self._empty.set()
            self._filled.clear()
            await self._filled.wait()
        if self._urgent:
            return self._urgent.popleft()  # alone: it must not wait until others have arrived, too
        first = (self._answers or self._deliveries).popleft()
        if not (self.together_bytes and (self._answers or self._deliveries)):
            return first
        return self._joined(first)

    def _joined(self, first: pb.SessionResponse) -> pb.SessionResponse:
        taken, room = [first], self.together_bytes - _size(first)
        for lane in (self._answers, self._deliveries):
            while lane and len(taken) < MOST_TOGETHER and (size := _size(lane[0])) <= room:
                taken.append(lane.popleft())
                room -= size
            if lane:
                break  # the lane behind it waits: lanes keep their order
        if len(taken) == 1:
            return first
        return pb.SessionResponse(several=pb.Several(messages=taken))

    async def written(self) -> None:
        """Wait until nothing is left to write."""
        await self._empty.wait()

    def _put(self, lane: deque[pb.SessionResponse], message: pb.SessionResponse) -> None:
        lane.append(message)
        self._empty.clear()
        self._filled.set()


def _size(message: pb.SessionResponse) -> int:
    return message.ByteSize() + _TAG
