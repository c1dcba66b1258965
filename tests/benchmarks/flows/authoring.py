"""Flows that make many calls which do nothing, and measure themselves: times in microseconds a call, memory in MiB."""

import asyncio
import json
import os
import resource
import time
from pathlib import Path

from headway import ProcessRunner, ThreadRunner, flow, task
from headway.context import current_call


@task
def noop(n: int) -> int:
    return n


@task
async def async_noop(n: int) -> int:
    return n


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _per_call(begun: float, count: int) -> float:
    return (time.perf_counter() - begun) * 1e6 / count


@flow
def sequential(path: str, count: int) -> None:
    begun = time.perf_counter()
    for n in range(count):
        noop(n)
    Path(path).write_text(json.dumps({"us": _per_call(begun, count)}))


@flow
def unsent(path: str, count: int) -> None:
    """As `sequential`, with no journal behind it: frames are made and thrown away, so the supervisor writes none."""
    channel = current_call().engine.channel
    send, channel._send = channel._send, lambda packed: None
    begun = time.perf_counter()
    for n in range(count):
        noop(n)
    took = _per_call(begun, count)
    channel._send = send
    Path(path).write_text(json.dumps({"us": took}))


@task(durable="sync")
def sure(n: int) -> int:
    return n


@flow
def durable(path: str, count: int) -> None:
    """Each result is on disk before the next call begins; the yardstick is a sync of as many bytes."""
    begun = time.perf_counter()
    for n in range(count):
        sure(n)
    took = _per_call(begun, count)
    Path(path).write_text(json.dumps({"us": took, "sync_us": _bare_syncs(Path(f"{path}.raw"), count)}))  # fmt: skip


def _bare_syncs(path: Path, count: int) -> float:
    with path.open("wb", buffering=0) as file:
        begun = time.perf_counter()
        for _ in range(count):
            file.write(bytes(400))
            os.fdatasync(file.fileno())
        return _per_call(begun, count)


@flow
def plain(path: str, count: int) -> None:
    """The yardstick: the same calls without Headway."""
    function = noop.fn
    begun = time.perf_counter()
    for n in range(count):
        function(n)
    Path(path).write_text(json.dumps({"us": _per_call(begun, count)}))


@flow(task_runner=ThreadRunner(16))
def submitted(path: str, count: int) -> None:
    begun = time.perf_counter()
    for future in [noop.submit(n) for n in range(count)]:
        future.result()
    Path(path).write_text(json.dumps({"us": _per_call(begun, count)}))


@flow(task_runner=ProcessRunner(2))
def processes(path: str, count: int) -> None:
    begun = time.perf_counter()
    noop.map(range(count)).result()
    Path(path).write_text(json.dumps({"us": _per_call(begun, count)}))


@flow
async def gathered(path: str, count: int) -> None:
    begun = time.perf_counter()
    await asyncio.gather(*(async_noop(n) for n in range(count)))
    Path(path).write_text(json.dumps({"us": _per_call(begun, count)}))


@flow(task_runner=ThreadRunner(16))
def mapped(path: str, count: int) -> None:
    before = _resident_mib()
    begun = time.perf_counter()
    total = sum(future.result() for future in noop.map(range(count)))
    assert total == count * (count - 1) // 2
    measured = {"us": _per_call(begun, count), "mib": _resident_mib() - before}
    Path(path).write_text(json.dumps(measured))


@flow
def slope(path: str, count: int) -> None:
    """Memory after the first tenth of many calls, and at their end."""
    for n in range(count // 10):
        noop(n)
    before = _resident_mib()
    for n in range(count // 10, count):
        noop(n)
    Path(path).write_text(json.dumps({"mib": _resident_mib() - before}))


@flow(task_runner=ThreadRunner(16))
def unrecorded(path: str, count: int) -> None:
    """As `submitted`, of the plain functions: what threads cost without journal and facts."""
    from concurrent.futures import ThreadPoolExecutor

    begun = time.perf_counter()
    with ThreadPoolExecutor(16) as executor:
        for future in [executor.submit(noop.fn, n) for n in range(count)]:
            future.result()
    Path(path).write_text(json.dumps({"us": _per_call(begun, count)}))
