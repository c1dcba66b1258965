"""Give an event from outside to the runs that wait for it. It is an answer to each of them, not kept for later ones: the sender is
told whom it reached, and sends it again if that is nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from headway_control_plane.application.answer_run import checked_value
from headway_control_plane.application.ports import Log
from headway_control_plane.application.words import require_none, text_problems
from headway_control_plane.domain.commands import AnswerRun
from headway_control_plane.domain.errors import InvalidState
from headway_control_plane.domain.streams import Blob

MOST_KEY = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """`key` tells events of one name apart; both must be equal to those that a run waits for."""

    name: str
    key: str = ""
    value: Any = None

    @property
    def topic(self) -> bytes:
        """As `headway.wait_for_event` makes it: names need not leave the customer's network to be matched."""
        return hashlib.sha256(f"{self.name}\0{self.key}".encode()).digest()


class Waiters(Protocol):
    """Finds the open waits of a topic: run and call."""

    async def waiting(self, ws: int, topic: bytes) -> Sequence[tuple[UUID, bytes]]: ...


async def emit_event(
    log: Log, waiters: Waiters, ws: int, *, actor: str, event: Event
) -> list[UUID]:
    """Answer every wait of the event's topic. Sent again it reaches only who did not get it before."""
    problems = [*text_problems("name", event.name), *text_problems("key", event.key, MOST_KEY)]
    require_none(problems)
    value = Blob.of(checked_value(event.value))
    reached = []
    for run, call in await waiters.waiting(ws, event.topic):
        try:
            await log.execute(ws, AnswerRun(run, call, value), actor=actor)
        except InvalidState:
            continue  # it was answered, cancelled or timed out meanwhile
        reached.append(run)
    return list(dict.fromkeys(reached))
