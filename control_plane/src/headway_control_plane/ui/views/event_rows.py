"""Events of the log as dense lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from headway_control_plane.projections.events import EventView
from headway_control_plane.ui import words
from headway_control_plane.ui.views.parts import link


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as a dense line."""

    cursor: str
    offset: str
    recorded: datetime
    occurred: datetime
    type: str
    stream: str
    stream_href: str
    actor: str
    summary: str
    data: str


def event_rows(events: Iterable[EventView]) -> list[EventRow]:
    """Shape events for a list, oldest first."""
    return [
        EventRow(
            cursor=event.cursor,
            offset=event.cursor.partition(":")[2],
            recorded=event.recorded_at,
            occurred=event.occurred_at,
            type=event.type,
            stream=_short_stream(event.stream),
            stream_href=link("/events", {"stream": event.stream}),
            actor=event.actor,
            summary=event.summary,
            data=json.dumps(dict(event.data), indent=2, ensure_ascii=False),
        )
        for event in events
    ]


def _short_stream(stream: str) -> str:
    kind, _, rest = stream.partition("/")
    name, _, fence = rest.partition("/")
    return f"{kind} {words.short_id(name)}" + (f" #{fence}" if fence else "")
