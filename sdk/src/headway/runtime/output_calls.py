"""Side outputs, called by user code that may have a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headway.artifacts import ArtifactSpec
from headway.context import Call
from headway.events import EventSpec
from headway.runtime.transaction_calls import TransactionCalls
from headway.variables import VariableSpec

T = TypeVar("T")


class OutputCalls(TransactionCalls):
    """Artifacts, metrics, events and variables of an attempt's calls."""

    def save_artifact(self, parent: Call, spec: ArtifactSpec) -> str:
        return self._told(parent, lambda: self.outputs.save(parent, spec))

    def move_progress(self, parent: Call, artifact: str, percent: float) -> None:
        self._told(parent, lambda: self.outputs.move(artifact, percent))

    def record_metric(
        self, parent: Call, name: str, unit: str, value: float, step: int | None
    ) -> None:
        self._told(parent, lambda: self.outputs.record(parent, name, unit, value, step))

    def emit_event(self, parent: Call, spec: EventSpec) -> None:
        self._told(parent, lambda: self.outputs.emit(parent, spec))

    def write_variable(self, parent: Call, spec: VariableSpec) -> None:
        self._told(parent, lambda: self.outputs.write(parent, spec))

    def _told(self, parent: Call, step: Callable[[], T]) -> T:
        self._cancellation.check()
        # A cancel in the middle of it would leave a number counted and its frame not sent.
        with self._cancellation.held:
            return self._in_engine(parent, step)
