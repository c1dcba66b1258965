"""A test seam (`headway agent start --allow-faults FILE`): a fault that a test leaves for the next attempt to be started.

The file holds `{"at": point, "n": k}`; whoever starts an attempt takes it away, so each fault strikes once. The points
`before_spawn` and `after_spawn` kill this agent with SIGKILL; all others are the supervisor's (headway.runtime.start).
"""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NO_FAULT: Mapping[str, Any] = {}


def take(file: Path | None) -> Mapping[str, Any]:
    """The fault for the attempt that is being started; empty when there is none."""
    if file is None or not file.exists():
        return NO_FAULT
    fault: dict[str, Any] = json.loads(file.read_text())
    file.unlink()
    return fault


def reached(point: str, fault: Mapping[str, Any]) -> None:
    if fault.get("at") == point:
        os.kill(os.getpid(), signal.SIGKILL)
