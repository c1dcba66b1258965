"""A process around a service of the control plane, to be told to stop. Usage: serving.py LIFELINE READY MODE

Answers each HTTP request with "hello"; in mode `slow` after the request was told of on standard output and a line came
on standard input; in mode `broken` it breaks by itself, in mode `stuck` it never leaves.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from headway_control_plane.main.http_server import HttpServer
from headway_control_plane.main.lifecycle import run_until_stopped


async def hello(scope, receive, send) -> None:
    if sys.argv[3] == "slow":
        print("asked", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def service() -> AsyncIterator[Callable[[], Awaitable[object]]]:
    try:
        async with HttpServer(hello, "127.0.0.1", 0, drain_timeout=20) as server:
            print(server.port, flush=True)
            yield breaks if sys.argv[3] == "broken" else server.until_broken
    finally:
        if sys.argv[3] == "stuck":
            await asyncio.Event().wait()
        print("left", flush=True)


async def breaks() -> None:
    raise RuntimeError("a loop died")


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("headway_control_plane").setLevel("INFO")
    limit = 0.1 if sys.argv[3] == "stuck" else 60
    asyncio.run(
        run_until_stopped(
            service(), drain_timeout=limit, lifeline=int(sys.argv[1]), ready=int(sys.argv[2])
        )
    )
