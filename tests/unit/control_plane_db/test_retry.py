import pytest
from psycopg.errors import DeadlockDetected, OperationalError, SerializationFailure

from headway_control_plane.db.retry import retry_conflicts


class Flaky:
    """Fails with the given errors, one a call, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def run(operation: Flaky, pauses: list[float]) -> str:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return await retry_conflicts(operation, random=lambda: 1.0, sleep=sleep)


async def test_collisions_are_run_again_after_growing_pauses() -> None:
    operation, pauses = Flaky(SerializationFailure(), DeadlockDetected()), []

    assert await run(operation, pauses) == "done"
    assert (operation.calls, pauses) == (3, [0.01, 0.02])


async def test_the_last_collision_is_raised() -> None:
    operation, pauses = Flaky(*[DeadlockDetected()] * 9), []

    with pytest.raises(DeadlockDetected):
        await run(operation, pauses)
    assert (operation.calls, len(pauses)) == (5, 4)


async def test_a_lost_connection_is_not_a_collision() -> None:
    operation = Flaky(OperationalError("server closed the connection unexpectedly"))

    with pytest.raises(OperationalError):
        await run(operation, [])
    assert operation.calls == 1
