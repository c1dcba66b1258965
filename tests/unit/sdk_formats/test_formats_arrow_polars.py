"""The values of polars and pyarrow come back exactly, and equal ones have equal digests."""

import datetime as dt
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal
from polars.testing.parametric import dataframes

from headway import payloads
from headway.digests import stable_digest
from headway.errors import UnserializableResult

_QUICK = settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
_SMALL = st.integers(-100, 100)


def round_trip(value):
    return payloads.decode(payloads.encode(value))


def digest(value):
    found = stable_digest({"value": value})
    assert found is not None
    return found


# polars


@_QUICK
@given(dataframes(max_cols=4, max_size=4, allow_null=True, excluded_dtypes=[pl.Object]))
def test_any_polars_frame_comes_back_exactly_and_with_the_same_digest(frame):
    made = round_trip(frame)
    assert made.schema == frame.schema
    assert_frame_equal(made, frame, check_exact=True, categorical_as_str=True)
    assert digest(made) == digest(frame)
    for series in frame:
        assert_series_equal(round_trip([series])[0], series, check_exact=True)


def test_polars_dtypes_by_hand():
    frame = pl.DataFrame(
        {
            "enum": pl.Series(["a", None], dtype=pl.Enum(["b", "a"])),
            "zone": pl.Series([0, 1], dtype=pl.Datetime("ns", "Europe/Berlin")),
            "decimal": [Decimal("1.20"), None],
            "struct": [{"x": 1, "y": [None, 2.5]}, {"x": None, "y": []}],
            "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
            "null": [None, None],
            "nan": [float("nan"), None],
            "time": [dt.time(1, 2, 3, 4), None],
            "bytes": [b"\0", None],
        }
    )
    made = round_trip(frame)
    assert made.schema == frame.schema
    assert_frame_equal(made, frame, check_exact=True)


@pytest.mark.parametrize(
    "frame", [pl.DataFrame(), pl.DataFrame(height=3), pl.DataFrame(schema={"a": pl.Int8})]
)
def test_polars_frames_without_rows_or_columns(frame):
    made = round_trip(frame)
    assert (made.schema, made.shape) == (frame.schema, frame.shape)


def test_how_polars_keeps_it_is_no_matter():
    whole = pl.DataFrame({"a": [1, 2, 3]})
    cut = pl.concat([whole[:1], whole[1:]], rechunk=False)
    assert digest(cut) == digest(whole)
    assert digest(whole) != digest(whole.cast(pl.Int32))
    assert digest(whole) != digest(whole.rename({"a": "b"}))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (pl.LazyFrame({"a": [1]}), "collect"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "'a' holds Python objects"),
    ],
    ids=["lazy", "object"],
)
def test_polars_values_that_are_refused(value, says):
    with pytest.raises(UnserializableResult, match=says):
        payloads.encode(value)
    assert stable_digest({"value": value}) is None


# pyarrow


def _arrays(size):
    def some(values, kind):
        column = st.lists(st.one_of(st.none(), values), min_size=size, max_size=size)
        return column.map(lambda v: pa.array(v, kind))

    return st.one_of(
        some(_SMALL, pa.int16()),
        some(st.floats(), pa.float64()),
        some(st.booleans(), pa.bool_()),
        some(st.text(max_size=3), pa.string()),
        some(st.binary(max_size=3), pa.large_binary()),
        some(_SMALL, pa.timestamp("ns", "Asia/Tokyo")),
        some(_SMALL, pa.duration("ms")),
        some(st.integers(0, 10**9), pa.time64("ns")),
        some(st.dates(dt.date(1970, 1, 1)), pa.date32()),
        some(st.decimals(-9, 9, places=2), pa.decimal128(10, 2)),
        some(st.lists(_SMALL, max_size=2), pa.list_(pa.int8())),
        some(st.fixed_dictionaries({"x": _SMALL}), pa.struct({"x": pa.int32()})),
        some(st.sampled_from("ab"), pa.string()).map(lambda a: a.dictionary_encode()),
        some(st.none(), pa.null()),
    )


@st.composite
def _tables(draw):
    height, width = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    columns = [draw(_arrays(height)) for _ in range(width)]
    metadata = draw(st.sampled_from([None, {"unit": "m"}]))
    fields = [pa.field(f"c{at % 3}", each.type) for at, each in enumerate(columns)]
    return pa.table(columns, schema=pa.schema(fields, metadata=metadata))


def assert_same(made, given_):
    assert type(made) is type(given_)
    assert repr(made.to_pylist() if not isinstance(made, pa.Table) else made) == repr(
        given_.to_pylist() if not isinstance(given_, pa.Table) else given_
    )


@_QUICK
@given(_tables())
def test_any_arrow_table_comes_back_exactly_and_with_the_same_digest(table):
    made = round_trip(table)
    assert made.schema.equals(table.schema, check_metadata=True)
    assert made.num_rows == table.num_rows or not table.num_columns
    for ours, theirs in zip(made.columns, table.columns, strict=True):
        assert str(ours.combine_chunks()) == str(theirs.combine_chunks())
        assert type(round_trip(theirs)) is pa.ChunkedArray
    assert digest(made) == digest(table)


@_QUICK
@given(st.integers(0, 4).flatmap(_arrays))
def test_any_arrow_array_comes_back_exactly(array):
    made = round_trip({"it": array})["it"]
    assert type(made) is type(array)
    assert made.type == array.type
    assert str(made) == str(array)
    assert digest(made) == digest(array)


def test_arrow_slices_chunks_and_batches():
    array = pa.array([1, 2, None, 4])
    part = array.slice(1, 2)
    assert round_trip(part).equals(part)
    assert digest(part) == digest(pa.array([2, None]))
    chunks = pa.chunked_array([[1], [], [2, 3]])
    assert round_trip(chunks).equals(chunks)
    assert digest(pa.table({"a": chunks})) == digest(pa.table({"a": [1, 2, 3]}))
    batch = pa.record_batch({"a": [1, None]})
    assert type(round_trip(batch)) is pa.RecordBatch
    assert round_trip(batch).equals(batch)
    assert digest(pa.array([1], pa.int8())) != digest(pa.array([1], pa.int16()))
