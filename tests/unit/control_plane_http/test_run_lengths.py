"""A run's length in the API: nothing is not the same as none."""

from datetime import timedelta

import pytest

from headway_control_plane.http_api.shapes_runs import microseconds


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (None, None),
        (timedelta(), 0),
        (timedelta(seconds=-1), 0),
        (timedelta(days=1, microseconds=1), 86_400_000_001),
    ],
)
def test_a_length_in_microseconds(length: timedelta | None, told: int | None):
    assert microseconds(length) == told
