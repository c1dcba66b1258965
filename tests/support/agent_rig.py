"""A running Headway seen from a hand agent: what load needs when another agent than that of `headway up` executes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.hand_agent import HandAgent
from support.stack import Api, Stack


@dataclass(frozen=True, slots=True)
class AgentRig:
    """`agent` executes whatever is started through it."""

    headway: Stack
    agent: HandAgent

    @property
    def api(self) -> Api:
        return self.headway.api

    @property
    def database_url(self) -> str:
        return self.headway.database_url

    def run_directories(self, run: str) -> dict[int, Path]:
        return self.agent.run_directories(run)
