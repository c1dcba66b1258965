"""Digests that read the buffers of columns: equal for equal values, however they lie in memory, and other ones for any other value."""

import math
import struct

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.digests import stable_digest

_QUICK = settings(max_examples=120, deadline=None, database=None)
_INTEGERS = st.integers(-128, 127)
_FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, math.nan, -math.nan, math.inf]), st.floats(width=32)
)
_TEXTS = st.sampled_from(["", "a", "ab", "b", "é", "\0"])
ARROW = [
    (pa.int8(), _INTEGERS),
    (pa.int64(), _INTEGERS),
    (pa.uint64(), st.sampled_from([0, 1, 2**64 - 1])),
    (pa.float32(), _FLOATS),
    (pa.float64(), _FLOATS),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("ns", "Asia/Tokyo"), _INTEGERS),
    (pa.duration("us"), _INTEGERS),
    (pa.time32("s"), st.integers(0, 3)),
    (pa.string(), _TEXTS),
    (pa.large_string(), _TEXTS),
    (pa.binary(), _TEXTS.map(str.encode)),
]
POLARS = [
    (pl.Int8, _INTEGERS),
    (pl.Int64, _INTEGERS),
    (pl.UInt64, st.sampled_from([0, 1, 2**64 - 1])),
    (pl.Float32, _FLOATS),
    (pl.Float64, _FLOATS),
    (pl.Boolean, st.booleans()),
    (pl.Datetime("ns"), _INTEGERS),
    (pl.Duration("us"), _INTEGERS),
    (pl.Date, _INTEGERS),
    (pl.String, _TEXTS),
]


def digest(value: object) -> str:
    found = stable_digest({"value": value})
    assert found is not None
    return found


def canonical(values: list[object]) -> list[object]:
    """All NaN are one, and zeros have a sign."""
    return [
        ("float", "nan" if math.isnan(value) else struct.pack("d", value))
        if isinstance(value, float)
        else value
        for value in values
    ]


def two_lists(data: st.DataObject, values: st.SearchStrategy[object]) -> tuple[list, list]:
    """Often equal, or nearly."""
    some = data.draw(st.lists(st.one_of(st.none(), values), max_size=12))
    other = list(some)
    if other and data.draw(st.booleans()):
        other[data.draw(st.integers(0, len(other) - 1))] = data.draw(st.one_of(st.none(), values))
    if data.draw(st.booleans()):
        other.reverse()
    return some, other


def cut(data: st.DataObject, values: list, kind: pa.DataType) -> pa.ChunkedArray:
    """In chunks, each a slice of something longer."""
    at = data.draw(st.integers(0, len(values)))
    parts = [pa.array([values[0] if values else None, *part, None], kind).slice(1, len(part)) for part in (values[:at], values[at:])]  # fmt: skip
    return pa.chunked_array(parts, kind)


@pytest.mark.parametrize(("kind", "values"), ARROW, ids=lambda each: str(each)[:12])
@_QUICK
@given(data=st.data())
def test_arrow_columns_are_equal_by_their_values(kind, values, data):
    some, other = two_lists(data, values)
    one, two = cut(data, some, kind), cut(data, other, kind)
    assert digest(one) == digest(pa.chunked_array([pa.array(some, kind)]))
    assert (digest(one) == digest(two)) == (canonical(some) == canonical(other))


@pytest.mark.parametrize(("dtype", "values"), POLARS, ids=lambda each: str(each)[:12])
@_QUICK
@given(data=st.data())
def test_polars_columns_are_equal_by_their_values(dtype, values, data):
    some, other = two_lists(data, values)
    at = data.draw(st.integers(0, len(some)))
    make = lambda each: pl.Series("a", each, dtype=dtype)  # noqa: E731 - three words
    chunks = pl.concat([make(some[:at]), make(some[at:])], rechunk=False)
    assert digest(chunks) == digest(make(some))
    assert (digest(chunks) == digest(make(other))) == (canonical(some) == canonical(other))


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.date32()])
def test_columns_without_a_row(kind):
    empty = pa.array([], kind)
    ones = [pa.chunked_array([], kind), pa.chunked_array([empty, empty]), pa.chunked_array([empty])]
    assert len({digest(each) for each in ones}) == 1
    assert digest(pa.chunked_array([pa.array([None], kind)])) not in {digest(e) for e in ones}


def test_texts_are_told_apart_where_they_are_cut():
    assert len({digest(pl.Series("a", each)) for each in (["ab", "c"], ["a", "bc"])}) == 2
    assert len({digest(pa.array(each)) for each in (["ab", "c"], ["a", "bc"])}) == 2
    assert digest(pa.array([""])) != digest(pa.array([None], pa.string()))
    assert digest(pa.array([0])) != digest(pa.array([None], pa.int64()))
