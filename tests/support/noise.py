"""Many connections that send the same request over and over, in a process of their own: `noise(url, token, body, connections)`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def noise(
    url: str, token: str, path: str, body: object, connections: int
) -> Iterator[subprocess.Popen[str]]:
    """Yields once every connection has sent something; the process's output afterwards counts the answers by status."""
    process = subprocess.Popen(
        [sys.executable, __file__, url, token, path, json.dumps(body), str(connections)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "loud\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str]) -> dict[int, int]:
    """Ends it; how many answers there were of each status."""
    told, _ = process.communicate("over\n", timeout=60)
    return {int(status): count for status, count in json.loads(told).items()}


async def _main(url: str, token: str, path: str, body: str, connections: int) -> None:
    parts = urlsplit(url)
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    counts: dict[int, int] = {}
    tasks = [
        asyncio.create_task(_repeat(parts.hostname, parts.port, request, counts))
        for _ in range(connections)
    ]
    while sum(counts.values()) < connections:
        await asyncio.sleep(0.02)
    print("loud", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(counts), flush=True)


async def _repeat(
    host: str | None, port: int | None, request: bytes, counts: dict[int, int]
) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head[9:12])
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
                counts[status] = counts.get(status, 0) + 1
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
