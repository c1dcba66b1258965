"""Create a pool: a named set of agents, and the classes of data that they may send."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.application.errors import Problem
from headway_control_plane.application.ports import Cursor, Log
from headway_control_plane.application.words import require_none, slug_problems
from headway_control_plane.domain.commands import ChangePool, CreatePool
from headway_control_plane.ids import IdSource

# Of headway_api.common.v1.DataClass; `control` is always permitted and never named.
DATA_CLASSES = (
    "id",
    "timing",
    "counter",
    "error_class",
    "name",
    "parameters",
    "result",
    "error_text",
    "log",
    "code",
    "artifact",
    "metric",
    "event",
)
NEW_POOL_PERMITS = ("id", "timing", "counter", "error_class")
MAX_SLOTS = 100_000


@dataclass(frozen=True, slots=True)
class PoolMade:
    pool: UUID
    cursor: Cursor


async def create_pool(
    log: Log,
    ids: IdSource,
    ws: int,
    *,
    actor: str,
    name: str,
    permits: Sequence[str] = NEW_POOL_PERMITS,
    slots: int = 0,
) -> PoolMade:
    """Create a pool; `slots` bounds the open attempts over all its agents, 0 means as many as the agents have."""
    require_none([*slug_problems("name", name), *_limits_problems(permits, slots)])
    pool = ids()
    done = await log.execute(ws, CreatePool(pool, name, _sorted(permits), slots), actor=actor)
    return PoolMade(pool, done.cursor)


async def change_pool(
    log: Log, ws: int, pool: UUID, *, actor: str, permits: Sequence[str], slots: int
) -> PoolMade:
    """Set what a pool's agents may send and how much it runs at once."""
    require_none(_limits_problems(permits, slots))
    done = await log.execute(ws, ChangePool(pool, _sorted(permits), slots), actor=actor)
    return PoolMade(pool, done.cursor)


def _sorted(permits: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(permits)))


def _limits_problems(permits: Sequence[str], slots: int) -> list[Problem]:
    problems = [
        Problem(f"permits[{number}]", f"is no class of data; there are: {', '.join(DATA_CLASSES)}")
        for number, permit in enumerate(permits)
        if permit not in DATA_CLASSES
    ]
    if not 0 <= slots <= MAX_SLOTS:
        problems.append(Problem("slots", f"must be 0 (no limit of its own) to {MAX_SLOTS:,}"))
    return problems
