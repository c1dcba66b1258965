"""Packed calls: what was packed comes back call by call, and whatever agents sent has bounds that columns and calendars hold."""

from datetime import UTC, datetime

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.projections import packed_calls
from headway_control_plane.projections.packed_calls import KEY_BYTES, LATEST_US, instant

WITHHELD = datetime(2026, 11, 23, tzinfo=UTC)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TIMES = st.lists(st.tuples(INT64, INT64), min_size=1, max_size=20)


def message(times: list[tuple[int, int]], keys: int | None = None) -> facts.CallsEnded:
    n = len(times) if keys is None else keys
    return facts.CallsEnded(
        calls=b"".join(at.to_bytes(KEY_BYTES, "big") for at in range(n)),
        started_deltas_us=[started for started, _ in times],
        durations_us=[took for _, took in times],
        count=n,
    )


@given(TIMES)
def test_each_call_comes_back_within_the_calendar(times: list[tuple[int, int]]):
    told = message(times)
    packed = packed_calls.pack(told)
    members = list(packed_calls.unpack(packed, WITHHELD))
    assert [member.call for member in members] == packed_calls.packed_keys(packed)
    assert len(members) == packed_calls.size(told) == len(times)
    for member in members:
        assert instant(0) <= member.started_at <= member.ended_at <= instant(LATEST_US)


@given(TIMES)
def test_what_they_took_fits_into_columns(times: list[tuple[int, int]]):
    spread = packed_calls.spread(message(times))
    assert spread is not None
    assert 0 <= spread.median_us <= spread.longest_us <= spread.busy_us < 1 << 63
    assert 0 <= spread.started_us <= spread.ended_us <= LATEST_US


def test_calls_whose_times_are_withheld_lie_where_their_fact_does():
    packed = packed_calls.pack(message([], keys=2))
    assert [member[1:] for member in packed_calls.unpack(packed, WITHHELD)] == [
        (WITHHELD, WITHHELD)
    ] * 2
    assert packed_calls.spread(message([], keys=2)) is None


@pytest.mark.parametrize("count", [-(1 << 31), -1, 0])
def test_no_number_of_calls_is_below_none(count: int):
    assert packed_calls.size(facts.CallsEnded(count=count)) == 0


@given(TIMES, st.data())
def test_truncated_bytes_are_refused_or_hold_fewer_calls(
    times: list[tuple[int, int]], data: st.DataObject
):
    packed = packed_calls.pack(message(times))
    whole = packed_calls.packed_keys(packed)
    cut = packed[: data.draw(st.integers(0, len(packed)))]
    try:
        members = list(packed_calls.unpack(cut, WITHHELD))
    except DecodeError:
        return
    assert [member.call for member in members] == whole[: len(members)]
