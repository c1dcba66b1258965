"""The flow of the kill matrix: thirty tasks of every kind, each leaving a mark, and a plan of who dies at which of them.

A strike is counted by progress: the n-th mark of a class, just before or just after it is left, or the n-th frame that the flow's
process sends. It happens once a run: whoever makes its file first strikes.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from effects import mark

from headway import ProcessRunner, TransactionStep, flow, run_context, task, transaction
from headway.context import current_call

PATIENCE_S = 30.0
ORDER = ("agent", "supervisor", "flow", "worker")


def effect(path: str, what: str, kind: str = "") -> None:
    """Leave a mark; die before it or after it where the plan says so."""
    _strike(path, "before", [*_left(path), kind])
    mark(path, what, kind=kind)
    _strike(path, "after", _left(path))


def _left(path: str) -> list[str]:
    """The kinds of the marks that are there."""
    file = Path(path)
    return [json.loads(line)["kind"] for line in file.read_text().splitlines()] if file.exists() else []  # fmt: skip


def _strike(path: str, when: str, kinds: list[str]) -> None:
    for number, strike in enumerate(json.loads(Path(f"{path}.plan").read_text())):
        counted = [kind for kind in kinds if strike.get("kind", "") in ("", kind)]
        is_here = kinds[-1:] == counted[-1:]
        if strike["at"] == when and is_here and len(counted) >= strike["n"]:
            _land(path, number, strike["victims"])


def _land(path: str, number: int, victims: list[str]) -> None:
    if not _claim(f"{path}.struck.{number}"):
        return
    told = json.loads(Path(f"{path}.attempt").read_text())
    pids = {"flow": told["flow"], "supervisor": told["supervisor"], "worker": os.getpid()}
    if "agent" in victims:
        pids["agent"] = _living_agent(Path(told["agent"]))
    # Whoever does it is the last, for its own death ends it; a worker dies with the flow, and the flow with its supervisor.
    order = sorted(victims, key=lambda name: (pids[name] == os.getpid(), ORDER.index(name)))
    line = {"strike": number, "fence": run_context().attempt, "pids": {n: pids[n] for n in order}}
    Path(f"{path}.struck.{number}").write_text(json.dumps(line))
    for name in order:
        os.kill(pids[name], signal.SIGKILL)
    if {"flow", "supervisor"} & set(victims):
        time.sleep(PATIENCE_S)  # this process dies with them; until then it executes nothing more


def _living_agent(file: Path) -> int:
    """One that nobody else has struck: it may just have been killed for another run."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        pid = int(file.read_text())
        if _claim(f"{file}.{pid}"):
            return pid
        time.sleep(0.02)
    raise TimeoutError("the agent did not come back")


def _claim(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _count_frames(path: str) -> None:
    """Frames of this attempt, as the flow's process hands them to its supervisor; those of workers pass through here."""
    call = current_call()
    assert call is not None
    channel: Any = call.engine.channel  # type: ignore[attr-defined]
    send: Callable[[bytes], None] = channel._send
    sent = 0

    def counted(packed: bytes) -> None:
        nonlocal sent
        sent += 1
        _strike(path, "frame before", [""] * sent)
        send(packed)
        _strike(path, "frame after", [""] * sent)

    channel._send = counted


@task
def step(path: str, n: int) -> int:
    effect(path, f"step-{n}")
    return n * n


@task(durable="sync")
def sure(path: str, n: int) -> int:
    effect(path, f"sure-{n}")
    return n


@task
def quick(path: str, n: int) -> int:
    """So many follow each other at once that the supervisor may tell of them together."""
    effect(path, f"quick-{n}")
    return n


@task(retries=1)
def flaky(path: str, n: int) -> int:
    effect(path, f"flaky-{n}")
    if run_context().try_number == 1:
        raise ConnectionError(f"first try of {n}")
    return n


@task
async def breath(path: str, n: int) -> int:
    """Mapped from sync code it runs in a thread with a loop of its own."""
    effect(path, f"breath-{n}")
    await asyncio.sleep(0.005)
    return n


@task
def below(path: str, n: int) -> int:
    effect(path, f"below-{n}", "worker")
    return n


@task(retries=2)
def grind(path: str, n: int) -> int:
    """Runs in a worker process, and calls a task there."""
    effect(path, f"grind-{n}", "worker")
    return below(path, n) + n


@task
def add(path: str, numbers: list[int]) -> int:
    effect(path, "add")
    return sum(numbers)


@flow
def inner(path: str) -> int:
    return add(path, [step(path, 100 + n) for n in range(3)])


def commit(done: TransactionStep) -> None:
    effect(done.transaction.get("path"), f"commit-{done.value}", "hook")


def undo(done: TransactionStep) -> None:
    effect(done.transaction.get("path"), f"undo-{done.value}", "hook")


@task(on_commit=commit, on_rollback=undo)
def write(path: str, where: str) -> str:
    effect(path, f"write-{where}", "step")
    return where


class Doomed(Exception):
    """Why the second transaction is rolled back."""


def _begin(path: str, plan: list[dict[str, Any]], agent: str) -> None:
    Path(f"{path}.plan").write_text(json.dumps(plan))
    attempt = {"flow": os.getpid(), "supervisor": os.getppid(), "agent": agent}
    Path(f"{path}.attempt").write_text(json.dumps(attempt))
    _count_frames(path)
    effect(path, "flow")


@flow(retries=6, task_runner=ProcessRunner(2))
def matrix(path: str, plan: list[dict[str, Any]], agent: str) -> int:
    """Its two transactions: one is committed, one is rolled back by each attempt that comes to it."""
    _begin(path, plan, agent)
    total = sum(step(path, n) for n in range(6))
    total += sum(sure(path, n) for n in range(3))
    total += sum(quick(path, n % 10) for n in range(20))
    total += sum(flaky(path, n) for n in range(2))
    total += sum(breath.map([path] * 6, [0, 1, 1, 2, 2, 2]).result())
    with transaction("load") as work:
        work.set("path", path)
        for where in ("a", "b", "c"):
            write(path, where)
    total += inner(path)
    total += sum(grind.map([path] * 4, range(4)).result())
    try:
        with transaction("doomed") as work:
            work.set("path", path)
            write(path, "x")
            write.submit(path, "y").result()
            raise Doomed
    except Doomed:
        effect(path, "caught")
    return add(path, [total, *(step(path, 200 + n) for n in range(3))])
