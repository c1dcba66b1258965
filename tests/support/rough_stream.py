"""A man in the middle of the agent protocol who knows where messages begin and end, and passes them on as they never should be.

To the agent he is the control plane, to the control plane the agent; he reads no message. Torn bytes between messages and in
them are the business of `support.proxy`.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

Send = Callable[[bytes], Awaitable[None]]
_PASSED_ON = {"authorization"}
_ANSWERED = {"x-headway-time-us", "x-headway-retry-after-ms", "x-headway-session"}


class Torn(Exception):
    """A message was cut short, and its stream with it."""


@dataclass(frozen=True, slots=True)
class Manners:
    """What happens to one message in how many of a hundred. Late ones are overtaken; held ones hold up all behind them."""

    twice: int = 12
    late: int = 12
    held: int = 4
    short: int = 1
    longest: float = 9.0


class RoughStream:
    """Serves on `port` for the control plane at `target`; behaves until `disturb`, and again after `calm`. `did` counts by kind."""

    def __init__(self, target: str, manners: Manners | None = None) -> None:
        self.did: Counter[str] = Counter()
        self.port = 0
        self._target = target
        self._manners = manners or Manners()
        self._dice: random.Random | None = None
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="rough", daemon=True)
        self._thread.start()
        ready.wait()

    def disturb(self, seed: object) -> None:
        self._dice = random.Random(f"{seed}")

    def calm(self) -> None:
        self._dice = None

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(0.2), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> RoughStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        ready.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        self._server = grpc.aio.server(handlers=[_Relay(self)])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    # One call -------------------------------------------------------------------------------------------

    async def single(self, method: str, request: bytes, context: Any) -> bytes:
        """Pass a call with one answer on as it is."""
        async with grpc.aio.insecure_channel(self._target) as channel:
            try:
                return await channel.unary_unary(method)(request, metadata=_metadata(context))
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
                raise

    async def stream(self, method: str, requests: AsyncIterator[bytes], context: Any) -> None:
        """Pass a stream on, each way by itself, until one end is through with it."""
        async with grpc.aio.insecure_channel(self._target) as channel:
            call = channel.stream_stream(method)(metadata=_metadata(context))
            async with _Work() as late:
                up = late.start(self._pass(requests, call.write, late))
                down = late.start(self._pass(_messages(call), context.write, late))
                await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
                if up.done() and up.exception() is None and not down.done():
                    await call.done_writing()
                    await asyncio.wait((down,))
            torn = any(
                isinstance(each.exception(), Torn)
                for each in (up, down)
                if each.done() and not each.cancelled()
            )
            if torn:
                call.cancel()
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was torn")
            code, details = await call.code(), await call.details()
            said = [
                (key, value)
                for key, value in await call.trailing_metadata() or ()
                if key in _ANSWERED
            ]
            if code is not grpc.StatusCode.OK:
                await context.abort(code, details or "", tuple(said))

    async def _pass(self, messages: AsyncIterator[bytes], send: Send, late: _Work) -> None:
        turn = asyncio.Lock()  # gRPC takes one message at a time

        async def deliver(message: bytes, after: float = 0.0) -> None:
            await asyncio.sleep(after)
            async with turn:
                await send(message)

        async for message in messages:
            kind, wait = self._choose()
            self.did[kind] += 1
            match kind:
                case "late":
                    late.start(deliver(message, wait))
                case "twice":
                    await deliver(message)
                    late.start(deliver(message, wait))
                case "held":
                    await deliver(message, wait)
                case "short":
                    await deliver(message[: len(message) // 2 or 1])
                    raise Torn
                case _:
                    await deliver(message)

    def _choose(self) -> tuple[str, float]:
        """What to do with the next message, and how long it is to wait where it has to. Mostly short, now and then very long."""
        dice, manners = self._dice, self._manners
        if dice is None:
            return "passed", 0.0
        kinds = ("twice", "late", "held", "short")
        weights = [manners.twice, manners.late, manners.held, manners.short]
        kind = dice.choices((*kinds, "passed"), [*weights, 100 - sum(weights)])[0]
        return kind, manners.longest * dice.random() ** 4


class _Relay(grpc.GenericRpcHandler):
    """Takes every method, with messages as the bytes that they are."""

    def __init__(self, rough: RoughStream) -> None:
        self._rough = rough

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        if method.endswith("/Session"):

            async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
                await self._rough.stream(method, requests, context)

            return grpc.stream_stream_rpc_method_handler(stream)

        async def single(request: bytes, context: Any) -> bytes:
            return await self._rough.single(method, request, context)

        return grpc.unary_unary_rpc_method_handler(single)


class _Work:
    """Tasks of one stream, all gone when the stream is."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def __aenter__(self) -> _Work:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        # What was still on its way is lost with its connection.
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _messages(call: Any) -> AsyncIterator[bytes]:
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message


def _metadata(context: Any) -> tuple[tuple[str, str], ...]:
    return tuple((k, v) for k, v in context.invocation_metadata() if k in _PASSED_ON)
