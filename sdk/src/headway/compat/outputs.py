"""Prefect's functions for artifacts and events, by ours. They give nothing, but for a progress: its handle stands for its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headway import artifacts
from headway.compat.errors import NoSuchOption
from headway.events import emit_event as our_emit_event

_RESOURCE = "prefect.resource.id"


def create_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> None:
    """`headway.artifacts.markdown`."""
    artifacts.markdown(markdown, key=key or "", description=description or "")


def create_table_artifact(
    table: Mapping[str, Sequence[Any]] | Sequence[Any],
    key: str | None = None,
    description: str | None = None,
) -> None:
    """`headway.artifacts.table`. A list of lists has no names of columns in Prefect: they are numbered."""
    rows: Any = table
    if isinstance(table, Sequence) and table and not isinstance(table[0], Mapping):
        rows = [[str(n + 1) for n in range(len(table[0]))], *table]
    artifacts.table(rows, key=key or "", description=description or "")


def create_link_artifact(
    link: str,
    link_text: str | None = None,
    key: str | None = None,
    description: str | None = None,
) -> None:
    """`headway.artifacts.link`."""
    artifacts.link(link, text=link_text or "", key=key or "", description=description or "")


def create_image_artifact(
    image_url: str, key: str | None = None, description: str | None = None
) -> None:
    """`headway.artifacts.image`; pages show an address as a link."""
    artifacts.image(image_url, key=key or "", description=description or "")


def create_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> artifacts.Progress:
    """`headway.artifacts.progress`; give what it returns to `update_progress_artifact`."""
    return artifacts.progress(progress, key=key or "", description=description or "")


def update_progress_artifact(artifact_id: artifacts.Progress, progress: float) -> None:
    """`Progress.update`."""
    artifact_id.update(progress)


def emit_event(
    event: str,
    resource: Mapping[str, str] | None = None,
    *,
    payload: Any = None,
    **others: Any,
) -> None:
    """`headway.emit_event`: the resource's id is the key."""
    for name in others:
        raise NoSuchOption(
            f"emit_event has no {name!r} in Headway: an event has a name, a key and a value"
        )
    our_emit_event(event, key=(resource or {}).get(_RESOURCE, ""), value=payload)
