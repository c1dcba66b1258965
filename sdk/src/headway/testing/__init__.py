"""Runs flows in a test: the real engine, in memory, with time that the test moves. No server, no file, no waiting.

>>> from headway import flow, task
>>> from headway.testing import harness
>>> @task(retries=2, retry_delay=60)
... def load(day: str) -> int:
...     return len(day)
>>> @flow
... def daily(day: str) -> int:
...     return load(day)
>>> with harness() as h:
...     run = h.run(daily, day="2026-11-22")
>>> run.result(), run.call("load").tries
(10, 1)

With pytest, the fixtures `headway` (a harness) and `headway_run` (its `run`) are there without an import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway.testing.outputs import ArtifactRecord, EventRecord, VariableRecord
    from headway.testing.records import AttemptRecord, CallRecord, HarnessError, LogLine
    from headway.testing.running import Harness, harness
    from headway.testing.runs import Run
    from headway.testing.time import Clock

__all__ = [
    "ArtifactRecord",
    "AttemptRecord",
    "CallRecord",
    "Clock",
    "EventRecord",
    "Harness",
    "HarnessError",
    "LogLine",
    "Run",
    "VariableRecord",
    "harness",
]

# Loaded on first use: pytest loads the plugin in every project that has the SDK installed.
_HOMES = {
    "ArtifactRecord": "outputs",
    "AttemptRecord": "records",
    "CallRecord": "records",
    "Clock": "time",
    "EventRecord": "outputs",
    "Harness": "running",
    "HarnessError": "records",
    "LogLine": "records",
    "Run": "runs",
    "VariableRecord": "outputs",
    "harness": "running",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headway.testing' has no attribute {name!r}")
    value = getattr(import_module(f"headway.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
