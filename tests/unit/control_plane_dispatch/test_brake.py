"""When many agents vanish at once, their runs are not given away."""

from datetime import UTC, datetime, timedelta

from headway_control_plane.domain.brake import HOLD, held_until

TTL = timedelta(seconds=30)
T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(*seconds: float) -> list[datetime]:
    return [T0 + timedelta(seconds=s) for s in seconds]


def test_more_than_a_third_and_at_least_three_within_one_lease() -> None:
    assert held_until(at(0, 1, 2), 5, TTL) == T0 + timedelta(seconds=2) + HOLD
    assert held_until(at(0, 1, 2), 6, TTL) is None  # exactly a third
    assert held_until(at(0, 1), 0, TTL) is None  # all, but only two
    assert held_until(at(0, 1, 2), 0, TTL) is not None


def test_losses_spread_over_time_are_ordinary() -> None:
    assert held_until(at(0, 31, 62, 93), 1, TTL) is None
    assert held_until(at(0, 15, 30), 1, TTL) is not None
    assert held_until(at(0, 16, 32), 1, TTL) is None


def test_those_that_return_no_longer_count() -> None:
    assert held_until(at(0, 1, 2, 3), 4, TTL) is not None
    assert held_until(at(0, 1), 6, TTL) is None
    assert held_until((), 8, TTL) is None


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert held_until(at(2, 0, 1), 1, TTL) == held_until(at(0, 1, 2), 1, TTL)


def test_the_hold_counts_from_the_last_of_them() -> None:
    assert held_until(at(0, 10, 20, 500), 1, TTL) == T0 + timedelta(seconds=20) + HOLD
