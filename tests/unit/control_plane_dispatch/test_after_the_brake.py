"""When the brake lets go, those who have just come back get time to say what they began."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from headway_control_plane.background.sweeper import _SQL, Sweeper
from headway_control_plane.domain.commands import FireDeadline

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHARD, WS, RUN = 3, 7, UUID(int=1)
NAMES = {text: name for name, text in _SQL.items()}


@dataclass
class World:
    """Clock, database and log of a sweeper: one run whose start deadline has passed, three sessions."""

    at: float = 0.0
    lost: int = 3
    executed: list = field(default_factory=list)

    def monotonic(self) -> float:
        return self.at

    def held(self) -> dict[int, int]:
        return {SHARD: 1}

    @asynccontextmanager
    async def statements(self, _role):
        yield self

    async def execute(self, first, second, **named):
        if named:
            self.executed.append(second)
            return None
        name, self.rows = NAMES[first], []
        now = NOW + timedelta(seconds=self.at)
        if name == "due" and SHARD not in second["resting"]:
            self.rows = [(WS, 6, RUN, SHARD, "start", now - timedelta(seconds=1), now, None)]
        if name == "losses":
            self.rows = [(SHARD, 3 - self.lost, [now] * self.lost)]
        return self

    async def fetchall(self):
        return self.rows


async def test_a_start_deadline_waits_a_lease_and_a_grace_after_the_brake() -> None:
    world = World()
    sweeper = Sweeper(world, world, world, world)
    await sweeper.run_once()
    assert world.executed == [], "all sessions were lost together"
    world.lost, world.at = 0, 60.0
    await sweeper.run_once()
    assert world.executed == [], "they are back this very moment"
    world.at += 40.0
    await sweeper.run_once()
    assert world.executed == []
    world.at += 10.0
    await sweeper.run_once()
    assert [type(command) for command in world.executed] == [FireDeadline]
