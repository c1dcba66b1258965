from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from headway_control_plane.ids import Uuid7Source

START = datetime(2026, 11, 22, tzinfo=UTC)


class SteppedClock:
    """Tells the given instants one after the other, then the last for ever."""

    def __init__(self, *instants: datetime) -> None:
        self._instants = list(instants)

    def now(self) -> datetime:
        return self._instants.pop(0) if len(self._instants) > 1 else self._instants[0]

    def monotonic(self) -> float:
        return 0.0


def all_ones(count: int) -> bytes:
    return b"\xff" * count


def test_an_id_carries_its_millisecond_version_and_variant() -> None:
    made = Uuid7Source(SteppedClock(START), all_ones)()

    assert made.int >> 80 == int(START.timestamp() * 1000)
    assert (made.version, made.variant) == (7, RFC_4122)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=50), st.binary(min_size=1, max_size=64))
def test_ids_only_grow_whatever_the_clock_does(steps: list[int], noise: bytes) -> None:
    def entropy(count: int) -> bytes:
        return bytes(next(stream) for _ in range(count))

    def endless() -> Iterator[int]:
        while True:
            yield from noise

    stream = endless()
    source = Uuid7Source(SteppedClock(*(START + timedelta(milliseconds=s) for s in steps)), entropy)
    made = [source() for _ in range(2 * len(steps))]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_millisecond_that_is_used_up_borrows_the_next() -> None:
    source = Uuid7Source(SteppedClock(START), all_ones)
    source._tail = (1 << 74) - 2
    source._millisecond = int(START.timestamp() * 1000)

    assert source().int >> 80 == int(START.timestamp() * 1000) + 1
