"""A process of subscribers of the event stream. Usage: load_subscribers.py HOST PORT KEY COUNT AFTER

Says "ready" when all streams are open, reads the offset up to which to follow from standard input, and once every subscriber has seen it tells what
was delivered: events, seconds from the first to the last, the delays in milliseconds between the log's time and the delivery.
"""

import asyncio
import json
import sys
import time
from datetime import datetime

SAMPLE = 16  # one event in so many is looked into: parsing all of them would measure this process


async def main(host: str, port: str, key: str, count: str, after: str) -> None:
    goal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    opened = [asyncio.Event() for _ in range(int(count))]
    followers = [
        asyncio.create_task(_follow(host, int(port), key, after, one, goal)) for one in opened
    ]
    for one in opened:
        await one.wait()
    print("ready", flush=True)
    goal.set_result(int(await asyncio.to_thread(sys.stdin.readline)))
    told = await asyncio.gather(*followers)
    delays = sorted(delay for delays, _, _ in told for delay in delays)
    print(
        json.dumps(
            {
                "events": sum(events for _, events, _ in told),
                "ended_at": max(ended for _, _, ended in told),
                "p50": delays[len(delays) // 2],
                "p95": delays[int(len(delays) * 0.95)],
            }
        ),
        flush=True,
    )


async def _follow(
    host: str, port: int, key: str, after: str, opened: asyncio.Event, goal: asyncio.Future[int]
) -> tuple[list[float], int, float]:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    writer.write(
        f"GET /api/v1/events/stream?after={after} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    )
    status = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in status, status
    opened.set()
    delays: list[float] = []
    offset, events = int(after.partition(":")[2]), 0
    bookmark = False
    while not goal.done() or offset < goal.result():
        line = await reader.readline()
        assert line, "the stream ended"
        if line.startswith(b"event:"):
            bookmark = True
        elif line.startswith(b"id: ") and not bookmark:
            seen = int(line.rpartition(b":")[2])
            assert seen == offset + 1, f"event {seen} after {offset}"
            offset, events = seen, events + 1
        elif line.startswith(b"data: ") and not bookmark and events % SAMPLE == 0:
            recorded = datetime.fromisoformat(json.loads(line[6:])["recorded_at"])
            delays.append((time.time() - recorded.timestamp()) * 1e3)
        elif line == b"\n":
            bookmark = False
    writer.close()
    return delays, events, time.time()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
