"""The variables of an attempt: as the agent gave them, and what the attempt has written since."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from functools import cached_property
from pathlib import Path
from typing import Any

WITHHELD = (
    "the permits of this run's pool lack `name` or `parameters`, so neither the variable's name nor its value may leave."
    " Who administers the pool can permit both; else set it by `headway variables set`"
)
OLD_AGENT = "the agent that executes this run is too old for it. Upgrade the agent, or set it by `headway variables set`"


def not_settable(start: Mapping[str, Any]) -> str:
    """Why the attempt of this start cannot set variables; empty: it can."""
    told = start.get("variables")
    if told == "settable":
        return ""
    return WITHHELD if told == "withheld" else OLD_AGENT


class RunVariables(MutableMapping[str, Any]):
    """Read when somebody asks for one. An agent that knows of none gives no file.

    What is written lies in a file beside them, a line each, for a flow may have processes that write and read, too.
    """

    def __init__(self, run_dir: str) -> None:
        self._given = f"{run_dir}/variables.json"
        self._written = f"{run_dir}/variables.written"
        self._read = 0

    def __getitem__(self, name: str) -> Any:
        return self._present()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._present())

    def __len__(self) -> int:
        return len(self._present())

    def __setitem__(self, name: str, value: Any) -> None:
        self._write([name, value])

    def __delitem__(self, name: str) -> None:
        if name not in self._present():
            raise KeyError(name)
        self._write([name])

    @cached_property
    def _values(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(Path(self._given).read_bytes())
        except FileNotFoundError:
            return {}
        return values

    def _present(self) -> dict[str, Any]:
        try:
            size = os.stat(self._written).st_size  # noqa: PTH116 - asked for each value that is read
        except FileNotFoundError:
            return self._values
        if size > self._read:
            self._take()
        return self._values

    def _take(self) -> None:
        """Reads what is new; a line that is not whole yet is left for the next time. Read twice, it says the same."""
        start = self._read
        with Path(self._written).open("rb") as file:
            file.seek(start)
            lines = file.read()
        whole = lines.rfind(b"\n") + 1
        for line in lines[:whole].splitlines():
            name, *value = json.loads(line)
            if value:
                self._values[name] = value[0]
            else:
                self._values.pop(name, None)
        self._read = start + whole

    def _write(self, entry: list[Any]) -> None:
        line = f"{json.dumps(entry)}\n".encode()
        fd = os.open(self._written, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
