"""A relay in front of PostgreSQL that cuts a connection around its next COMMIT, on either side of it."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_TAIL = 32  # bytes kept, because a word may arrive in two pieces


class Ended(Exception):
    """One direction has ended."""


class CommitCutter:
    """`cut` is None, "before" (the server never sees COMMIT) or "after" (it commits, nobody hears of it). Counts its cuts."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.cut: str | None = None
        self.cuts = 0
        self.hold = asyncio.Event()
        self.hold.set()  # cleared: new connections wait
        self.stay_away = False  # whether a cut is the beginning of an outage
        self.closed = False
        self._tasks: set[asyncio.Task] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def go_away(self) -> None:
        """Begin an outage: all connections are lost, new ones hang until `come_back`."""
        self.hold.clear()
        for writer in list(self._writers):
            writer.transport.abort()

    def come_back(self) -> None:
        self.stay_away = False
        self.hold.set()

    async def accept(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writers = [writer]
        self._writers.add(writer)
        try:
            await self.hold.wait()
            server_reader, server_writer = await asyncio.open_unix_connection(self._target)
            writers.append(server_writer)
            self._writers.add(server_writer)
            if self.closed:
                return
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pass(reader, server_writer, b"COMMIT", "before"))
                directions.create_task(self._pass(server_reader, writer, b"COMMIT\0", "after"))
        except* (Ended, OSError):
            pass  # one side is gone, so the other goes too
        finally:
            for each in writers:
                each.transport.abort()
                self._writers.discard(each)

    async def _pass(self, reader, writer, word: bytes, side: str) -> None:
        tail = b""
        while data := await reader.read(1 << 16):
            if self.cut == side and word in tail + data:
                self.cut = None
                self.cuts += 1
                if self.stay_away:
                    self.go_away()
                break
            # Only of what came since a cut was asked for: the last COMMIT is not the next one.
            tail = (tail + data)[-_TAIL:] if self.cut == side else b""
            writer.write(data)
            await writer.drain()
        raise Ended

    async def close(self) -> None:
        self.closed = True
        self.hold.set()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def commit_cutter(url: str, folder: Path):
    """Yield a cutter and the URL that leads through it."""
    parts = conninfo_to_dict(url)
    port = parts.get("port") or "5432"
    cutter = CommitCutter(Path(parts["host"]) / f".s.PGSQL.{port}")
    server = await asyncio.start_unix_server(cutter.accept, folder / f".s.PGSQL.{port}")
    try:
        yield cutter, make_conninfo(url, host=str(folder))
    finally:
        server.close()
        await cutter.close()
