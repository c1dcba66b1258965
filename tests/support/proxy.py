"""A TCP relay between an agent and a control plane that a test can cut, hold and mend. It runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

_PASSING = 64  # pieces on their way, of 64 KiB at most


class Proxy:
    """`cut()` stops every byte both ways without closing (a partition); `hold_down()` stops what the server says only; `reset()` closes connections.

    `delay` seconds pass before each byte goes on, in either direction. `tear_after(n)` lets n more bytes through, of
    whatever message they are, and resets the connection that carried the last one.

    New connections are accepted while cut, and nothing passes, as behind a router that drops packets.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.bytes_up = self.bytes_down = 0
        self.captured: list[bytes] | None = None
        self.delay = 0.0
        self.tears = 0
        self._until_tear: int | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="proxy", daemon=True)
        self._thread.start()
        ready.wait()

    def cut(self) -> None:
        self._call(self._set(up=False, down=False))

    def hold_down(self) -> None:
        self._call(self._set(up=True, down=False))

    def mend(self) -> None:
        self._call(self._set(up=True, down=True))

    def tear_after(self, count: int) -> None:
        self._until_tear = count

    def reset(self) -> None:
        """Closes every connection at once, as a router that forgot them."""
        self._call(self._reset())

    def close(self) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._up.set()
        self._down.set()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()

    async def _set(self, *, up: bool, down: bool) -> None:
        for gate, is_open in ((self._up, up), (self._down, down)):
            gate.set() if is_open else gate.clear()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _shut(self) -> None:
        self._server.close()
        await self._set(up=True, down=True)
        await self._reset()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._up.wait()
            there_reader, there_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there_writer)
        await asyncio.gather(
            self._pump(reader, there_writer, self._up, is_up=True),
            self._pump(there_reader, writer, self._down, is_up=False),
        )

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._target)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        gate: asyncio.Event,
        *,
        is_up: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        passing: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PASSING)
        taking = asyncio.create_task(self._take(source, passing))
        # Either side may vanish at any moment: that is the point.
        with suppress(ConnectionError, OSError):
            while (item := await passing.get())[1]:
                due, data = item
                if (early := due - loop.time()) > 0:
                    await asyncio.sleep(early)
                await gate.wait()
                self._count(data, is_up=is_up)
                if self._tears(len(data)):
                    data, self._until_tear = data[: self._until_tear], None
                    sink.write(data)
                    await sink.drain()
                    raise ConnectionResetError
                sink.write(data)
                await sink.drain()
        taking.cancel()
        sink.close()
        self._writers.discard(sink)

    async def _take(
        self, source: asyncio.StreamReader, passing: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        """Read on while earlier bytes are still on their way; nothing is the end."""
        loop = asyncio.get_running_loop()
        data = b"more"
        while data:
            try:
                data = await source.read(65536)
            except OSError:
                data = b""
            await passing.put((loop.time() + self.delay, data))

    def _tears(self, size: int) -> bool:
        """Whether the torn byte lies among the next `size` ones."""
        if self._until_tear is None:
            return False
        if size <= self._until_tear:
            self._until_tear -= size
            return False
        self.tears += 1
        return True

    def _count(self, data: bytes, *, is_up: bool) -> None:
        if is_up:
            self.bytes_up += len(data)
            if self.captured is not None:
                self.captured.append(data)
        else:
            self.bytes_down += len(data)


class Balancer(Proxy):
    """A relay to several targets: each connection goes to the next one that answers."""

    def __init__(self, ports: Sequence[int], host: str = "127.0.0.1") -> None:
        self._ports = list(ports)
        super().__init__(ports[0], host)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for port in list(self._ports):
            self._ports.append(self._ports.pop(0))  # whoever comes next begins with another one
            with suppress(OSError):
                return await asyncio.open_connection(self._target[0], port)
        raise ConnectionRefusedError("no target answers")
