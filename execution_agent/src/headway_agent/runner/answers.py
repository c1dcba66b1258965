"""Answers to what a flow asks while it keeps its process: a file in the attempt's directory, which the flow looks at."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headway_agent.runner.api import Answer

NAME = "answers.json"


def keep(run_dir: Path, answer: Answer) -> None:
    """Adds the answer, unless the file has one of this call: the first counts. Whole under its name or not at all."""
    found = read(run_dir)
    if any(one["call"] == answer.call for one in found):
        return
    fresh = run_dir / f"{NAME}.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump([*found, asdict(answer)], file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(run_dir / NAME)


def read(run_dir: Path) -> list[dict[str, Any]]:
    """What was kept; nothing where there is no such file yet."""
    try:
        found: list[dict[str, Any]] = json.loads((run_dir / NAME).read_bytes())
    except FileNotFoundError:
        return []
    return found
