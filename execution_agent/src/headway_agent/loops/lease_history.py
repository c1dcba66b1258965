"""What this agent executes, and until when it may trust its lease: as JSON lines in a file of the customer's, for audit.

Whoever holds the histories of several agents beside each other sees whether two ever held one run at a time: each line stands
until the next one, and its attempts are held until `trusted_until`, on the machine's boot-time clock.
"""

import json
import logging
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headway_agent.clock import Clock
from headway_agent.core.attempt import Attempt
from headway_agent.loops.hub import Hub

log = logging.getLogger(__name__)


class LeaseHistory:
    """Appends a line after each step that changed what there is to tell. Only the file's owner may read it."""

    def __init__(self, path: Path, agent: str, clock: Clock) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._agent = agent
        self._clock = clock
        self._told: dict[str, Any] = {}
        self._is_broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def watch(self, hub: Hub) -> None:
        """Follow a hub from now on."""
        hub.after_step = lambda: self._look(hub)
        self._look(hub)

    def _look(self, hub: Hub) -> None:
        until = hub.session.lease.trusted_until
        told = {
            "agent": self._agent,
            "pid": os.getpid(),
            "trusted_until": until if math.isfinite(until) else None,
            "attempts": sorted(self._executed(hub)),
        }
        if told == self._told:
            return
        line = {"at": self._clock.boottime(), **told}
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            # A full disk is no reason to stop what runs: the next step tries again.
            if not self._is_broken:
                log.warning("the lease history can't be written: %s", error)
            self._is_broken = True
        else:
            self._told, self._is_broken = told, False

    def _executed(self, hub: Hub) -> set[Attempt]:
        """Without those that we know to be fenced: their processes are being killed."""
        positions = hub.reporting.positions
        fenced = {attempt for attempt, position in positions.items() if position.fenced}
        return {*hub.session.running} - fenced
