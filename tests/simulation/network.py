"""Streams between agents and replicas: in order, as TCP keeps them, but late, cut, stalled, or dead on one side alone.

What a lossy network does to datagrams, reconnecting does to messages: the old stream's are still on their way when the new stream's
come, and what got no answer comes again.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from headway_agent.connection.errors import Failure, failure
from headway_api.agent.v1 import agent_service_pb2 as pb
from simulation.faults import Faults
from simulation.world import Loop, World

KEEPALIVE = 40.0  # after so long an end notices that the other is dead
LONGEST_DELAY = 270.0  # three times what a lost session's attempts wait for


class Link:
    """The way between one agent and the control plane. A stalled direction delivers nothing for a while, then everything."""

    def __init__(self) -> None:
        self.up_stalled_until = 0.0
        self.down_stalled_until = 0.0
        self.streams: dict[Stream, None] = {}


class Network:
    """`replicas` names those that can be dialled."""

    def __init__(self, world: World, faults: Faults, replicas: Callable[[], list[Any]]) -> None:
        self.world = world
        self.faults = faults
        self.replicas = replicas

    def delay(self) -> float:
        world, faults = self.world, self.faults
        if world.chance(faults.very_slow):
            world.happens("message delayed long")
            return world.random.uniform(5.0, LONGEST_DELAY)
        if world.chance(faults.slow):
            world.happens("message delayed")
            return world.random.uniform(0.2, 5.0)
        return world.random.uniform(0.001, 0.05)

    def dial(self, agent: Any, loop: Loop) -> Stream:
        return Stream(self, agent, loop)


class Pipe:
    """One direction of a stream: what is put in comes out in order, if the reader still lives."""

    def __init__(self, network: Network, reader: Loop, stalled: Callable[[], float]) -> None:
        self._network = network
        self._reader = reader
        self._stalled = stalled
        self.last = 0.0
        self._items: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.broken = False

    def put(self, item: Any) -> None:
        world = self._network.world
        at = max(world.now + self._network.delay(), self.last)
        if (until := self._stalled()) > world.now:
            world.happens("link stalled")
            at = max(at, until)
        self.last = at
        world.after(at - world.now, self._arrive, item)

    def arrives_now(self, item: Any) -> None:
        """What the reader's own machine tells it."""
        self._arrive(item)

    async def get(self) -> Any:
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._items.popleft()

    def _arrive(self, item: Any) -> None:
        if self.broken or not self._reader.alive:
            return
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class End:
    """The last thing in a pipe: the stream's status, or that nothing more is sent (`code` None)."""

    def __init__(self, code: Any = None, detail: str = "", metadata: Any = ()) -> None:
        self.code = code
        self.detail = detail
        self.metadata = dict(metadata)


class Aborted(Exception):
    """The server ended the call."""


class Stream:
    """The agent's end, as `headway_agent.connection.stream.Stream` wants it; opened and closed as a context."""

    def __init__(self, network: Network, agent: Any, loop: Loop) -> None:
        self._network = network
        self._agent = agent
        self._loop = loop
        self._link: Link = agent.link
        self._ended: End | None = None
        self._open = True
        self._call: Call | None = None
        self.down = Pipe(network, loop, lambda: self._link.down_stalled_until)

    async def __aenter__(self) -> Stream:
        network, world = self._network, self._network.world
        self._link.streams[self] = None
        replicas = network.replicas()
        if not replicas or world.chance(network.faults.unreachable):
            world.happens("replica unreachable")
            if world.chance(0.5):  # the other half never answers at all
                self.down.put(End(grpc.StatusCode.UNAVAILABLE, "connection refused"))
        else:
            self._call = Call(self, world.random.choice(replicas))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        self._link.streams.pop(self, None)
        if self._call is not None:
            self._call.agent_left()

    async def send(self, message: pb.SessionRequest, permits: Any) -> None:
        if self._ended is not None:
            raise self._failure(self._ended)
        if self._call is not None:
            self._call.up.put(message)

    async def messages(self) -> AsyncIterator[pb.SessionResponse]:
        while True:
            item = await self.down.get()
            if isinstance(item, End):
                self._ended = item
                raise self._failure(item)
            yield item

    async def finish(self) -> None:
        if self._call is not None:
            self._call.up.put(End())

    def agent_died(self) -> None:
        """Its machine sends what the process had handed over, then the reset; without power it sends nothing more."""
        self._open = False
        if self._call is not None:
            self._call.agent_left()

    def cut(self) -> None:
        """The connection is gone; perhaps only one end hears of it in time."""
        world, call = self._network.world, self._call
        if call is None or not self._open:
            return
        world.happens("stream cut")
        lost = End(grpc.StatusCode.UNAVAILABLE, "connection reset")
        told = world.random.choice(("agent", "server", "both", "neither"))
        if told != "both":
            world.happens("stream half open")
        self.down.broken = call.up.broken = True
        world.after(0.01 if told in {"agent", "both"} else KEEPALIVE, self._hear, lost)
        world.after(0.01 if told in {"server", "both"} else KEEPALIVE, call.cancel)

    def _hear(self, end: End) -> None:
        self.down.broken = False
        self.down.arrives_now(end)

    def _failure(self, end: End) -> Failure:
        return failure(end.code, end.detail, end.metadata, self._agent.clock.now_us())


class Call:
    """The server's end: one call of the production service, in the replica's loop."""

    def __init__(self, stream: Stream, replica: Any) -> None:
        self._stream = stream
        self._network = stream._network
        self._replica = replica
        self._agent = stream._agent
        self._task: asyncio.Task[Any] | None = None
        link = stream._link
        self.up = Pipe(self._network, replica.loop, lambda: link.up_stalled_until)
        replica.calls[self] = None
        self._network.world.after(self._network.delay(), self._begin)

    def _begin(self) -> None:
        if self._replica.loop.alive:
            self._task = self._replica.loop.spawn(self._serve())
        else:
            self.replica_died()

    async def _serve(self) -> None:
        try:
            await self._replica.service.Session(self._requests(), self)
            end = End(grpc.StatusCode.OK)
        except Aborted as aborted:
            end = End(*aborted.args)
        finally:
            self._replica.calls.pop(self, None)
        self._stream.down.put(end)

    async def _requests(self) -> AsyncIterator[pb.SessionRequest]:
        while not isinstance(item := await self.up.get(), End):
            yield item

    def agent_left(self) -> None:
        """Its reset comes behind what it sent; without one, the server's keepalive finds out."""
        world = self._network.world
        reset = not world.chance(self._network.faults.unreachable)
        delay = self._network.delay() if reset else KEEPALIVE
        world.after(max(delay, self.up.last - world.now + 1e-6), self.cancel)

    def cancel(self) -> None:
        if self._task is not None and self._replica.loop.alive:
            self._replica.calls.pop(self, None)
            self._task.cancel()

    def replica_died(self) -> None:
        """Its machine says so at once, or nobody does."""
        world = self._network.world
        said = world.chance(0.7)
        lost = End(grpc.StatusCode.UNAVAILABLE, "connection reset")
        world.after(
            self._network.delay() if said else KEEPALIVE, self._stream.down.arrives_now, lost
        )

    # What the service asks of its context -----------------------------------------------------------------

    async def write(self, message: pb.SessionResponse) -> None:
        if message.WhichOneof("message") == "drain":
            self._network.world.happens("stream moved by rotation")
        self._stream.down.put(message)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", str(self._agent.identity.agent)),)

    async def abort(self, code: Any, detail: str, metadata: Any = ()) -> None:
        world = self._network.world
        if code is grpc.StatusCode.INTERNAL:
            world.broke("a stream ended by a defect", self._replica.name, repr(sys.exc_info()[1]))
        if code is grpc.StatusCode.ALREADY_EXISTS:
            world.happens("earlier process refused")
        raise Aborted(code, detail, metadata)
