"""What a run in memory has left beside its result: artifacts, metrics, events, variables."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple


class ArtifactRecord(NamedTuple):
    """An artifact that a run saved."""

    kind: str
    """`markdown`, `table`, `link`, `image` or `progress`."""
    key: str
    description: str
    content: Any
    """Markdown's text; a table's `{"columns", "rows"}`; a link's `{"url", "text"}`; an image's bytes, or its `{"url"}`; None for
    a progress.
    """
    percent: float | None
    """How far a progress has come; None for the others."""


class EventRecord(NamedTuple):
    """An event that a run emitted."""

    name: str
    key: str
    value: Any


class VariableRecord(NamedTuple):
    """A variable that a run set, or deleted."""

    name: str
    value: Any
    """None where it was deleted."""
    deleted: bool
    tags: tuple[str, ...] | None
    """None: it keeps those that it has."""
    expected_version: int | None


class Outputs:
    """What of a run tells of these."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The facts of all attempts, in order."""
        raise NotImplementedError

    @property
    def saved(self) -> list[ArtifactRecord]:
        """The artifacts of all attempts, in order."""
        return artifacts_of(self.events)

    @property
    def artifacts(self) -> dict[str, ArtifactRecord]:
        """The newest artifact of each key. Those without a key are in `saved`."""
        return {artifact.key: artifact for artifact in self.saved if artifact.key}

    @property
    def metrics(self) -> dict[str, list[float]]:
        """The values of each metric by name, as the run's page shows them: of very many the smallest and largest."""
        return metrics_of(self.events)

    @property
    def emitted(self) -> list[EventRecord]:
        """The events that `emit_event` emitted, in order."""
        return emitted_in(self.events)

    @property
    def variables_written(self) -> list[VariableRecord]:
        """What `headway.variables.set` and `.delete` wrote, in order."""
        return written_in(self.events)


def artifacts_of(events: Iterable[Mapping[str, Any]]) -> list[ArtifactRecord]:
    """In the order in which they were saved; of each the newest."""
    newest = {event["id"]: event for event in events if event["type"] == "artifact.saved"}
    return [
        ArtifactRecord(
            event["kind"], event["key"], event["description"], _content(event), event.get("percent")
        )
        for event in newest.values()
    ]


def metrics_of(events: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Values by name. A later try of a call takes the place of the earlier one."""
    found: dict[str, dict[str, list[float]]] = {}
    for event in events:
        if event["type"] == "metrics.recorded":
            calls = found.setdefault(event["name"], {})
            before = calls.get(event["call"], []) if event["first"] else []
            calls[event["call"]] = before + event["values"]
    return {name: list(chain.from_iterable(calls.values())) for name, calls in found.items()}


def emitted_in(events: Iterable[Mapping[str, Any]]) -> list[EventRecord]:
    """In order."""
    return [
        EventRecord(event["name"], event["key"], json.loads(event.get("data", "null")))
        for event in events
        if event["type"] == "event.emitted"
    ]


def written_in(events: Iterable[Mapping[str, Any]]) -> list[VariableRecord]:
    """In order."""
    return [
        VariableRecord(
            event["name"],
            json.loads(event.get("data", "null")),
            "data" not in event,
            tuple(event["tags"]) if "tags" in event else None,
            event.get("expected_version"),
        )
        for event in events
        if event["type"] == "variable.written"
    ]


def carry_out(written: Iterable[VariableRecord], variables: dict[str, Any]) -> None:
    """As the control plane would, but for versions: of these a test knows 0 alone, for what is not there yet."""
    for each in written:
        if each.expected_version == 0 and each.name in variables:
            continue
        if each.deleted:
            variables.pop(each.name, None)
        else:
            variables[each.name] = each.value


def _content(event: Mapping[str, Any]) -> Any:
    if "data" not in event:
        return None
    if event["media_type"].startswith("image/"):
        return base64.b64decode(event["data"])
    return json.loads(event["data"]) if event["media_type"] == "application/json" else event["data"]
