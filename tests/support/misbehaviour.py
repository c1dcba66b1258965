"""What tests of bad input ask of a running Headway."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psutil

from headway.runtime.frames_log import read
from support.eventually import eventually
from support.stack import Stack


def declare(stack: Stack, name: str, entrypoint: str, **changes: Any) -> None:
    """A deployment whose flow nobody looked at; a cancelled run of it is terminated and killed soon."""
    body = {
        "name": name,
        "flow": name,
        "pool": "local",
        "entrypoint": entrypoint,
        "cancel_grace_ms": 300,
        "kill_grace_ms": 300,
        **changes,
    }
    stack.api("POST", "/deployments", body)


def execute(stack: Stack, deployment: str, **parameters: Any) -> dict[str, Any]:
    return stack.ended(stack.start_run(deployment, **parameters))


def lines(stack: Stack, run: str, count: int) -> list[dict[str, Any]]:
    """The attempt's output, once it holds so many lines: it travels behind the facts."""

    def read() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = found[-1]["line"] if found else 0
            page = stack.api("GET", f"/runs/{run}/logs?limit=2000&after_line={after}")
            found += page["lines"]
            more = page["more"]
        return found

    return eventually(lambda: (got := read()) and len(got) >= count and got, what="all lines")


def processes_of(stack: Stack, run: str) -> list[psutil.Process]:
    """Everything alive that executes a run: supervisors and flows by what they wrote of themselves, the rest by its inherited mark."""
    paths = [*stack.home.glob(f"**/runs/{run}/*/frames.log")]
    named = {frame["pid"] for path in paths for _, frame in read(path) if "pid" in frame}
    found = [
        process
        for process in psutil.process_iter()
        if process.pid in named or _marked(process, run)
    ]
    return [process for process in found if _lives(process)]


def _marked(process: psutil.Process, run: str) -> bool:
    with suppress(psutil.Error):
        return process.environ().get("HEADWAY_ATTEMPT", "").startswith(run)
    return False


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
