"""start.json: what the agent hands over for one attempt, and the seams that tests may use on it."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# 2: frames.log may hold `calls.ended`. The logs of a journal that do say so, and their reader must know it.
PROTOCOL = 2
PROTOCOL_MIN = 1

Faults = Callable[[str], None]
FaultsOf = Callable[[dict[str, Any]], Faults]

_NEEDED: dict[str, type] = {
    "run": str,
    "fence": int,
    "entrypoint": str,
    "root": str,
    "env": dict,
    "parameters": dict,
}


class BadStart(ValueError):
    """start.json is missing, damaged or of a protocol that this SDK does not speak."""


def load_start(run_dir: Path) -> dict[str, Any]:
    """Reads start.json and adds `run_dir`, which the flow needs for `results/`."""
    try:
        start = json.loads((run_dir / "start.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BadStart(f"can't read {run_dir / 'start.json'}: {error}") from error
    return check_start(start, run_dir)


def check_start(start: object, run_dir: str | Path) -> dict[str, Any]:
    """The start with `run_dir`; raises BadStart for what no attempt can be made of."""
    if not isinstance(start, dict):
        raise BadStart(f"the start of {run_dir} is not an object")
    protocol = start.get("protocol")
    if not isinstance(protocol, int) or not PROTOCOL_MIN <= protocol <= PROTOCOL:
        raise BadStart(f"protocol {protocol!r}; this SDK speaks {PROTOCOL_MIN} to {PROTOCOL}")
    for name, kind in _NEEDED.items():
        if not isinstance(start.get(name), kind):
            raise BadStart(f"the start of {run_dir}: {name} must be of type {kind.__name__}")
    return {**start, "run_dir": str(run_dir)}


def without_faults(_start: dict[str, Any]) -> Faults:
    return no_faults


def ranges(start: Mapping[str, Any]) -> bool:
    """Whether the agent reads `calls.ended`."""
    return start.get("ranges") is True


def no_faults(_point: str) -> None:
    """What a fault point does outside tests."""


def faults_of(start: dict[str, Any]) -> Faults:
    """A test seam, honoured under `--allow-faults` alone: `fault` = {"at": point, "n": k} kills the supervisor with
    SIGKILL when it reaches that point for the k-th time. Points: before_starting_durable, after_starting,
    before_commit, after_commit.
    """
    fault = start.get("fault")
    if not isinstance(fault, dict):
        return no_faults
    left = int(fault.get("n", 1))

    def reached(point: str) -> None:
        nonlocal left
        if point == fault["at"]:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached
