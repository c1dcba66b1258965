"""Answers that come while the flow keeps its process: a file in the attempt's directory, which the agent writes whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "answers.json"


class Inbox:
    """Reads the file when there is another one than last time."""

    def __init__(self, run_dir: str | Path) -> None:
        self._run_dir = run_dir
        self._seen: tuple[int, int] | None = None
        self._answers: dict[str, Mapping[str, Any]] = {}

    def find(self, call: str) -> Mapping[str, Any] | None:
        """The answer to this call; None as long as there is none."""
        path = Path(self._run_dir) / NAME
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        if (seen := (stat.st_ino, stat.st_mtime_ns)) != self._seen:
            answers = json.loads(path.read_bytes())
            self._answers = {str(answer["call"]): answer for answer in answers}
            self._seen = seen
        return self._answers.get(call)
