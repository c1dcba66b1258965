"""pandas' values come back exactly, and equal ones have equal digests."""

from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import payloads
from headway.digests import stable_digest
from headway.errors import UnserializableResult

_QUICK = settings(max_examples=60, deadline=None, database=None)
_ZONES = ["UTC", "Europe/Berlin", timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Asia/Tokyo")]
_INT = st.integers(-(2**62), 2**62)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def _maybe(values):
    return st.one_of(st.none(), values)


def _column(size):
    """One column of `size` values, of some dtype."""

    def some(values):
        return st.lists(values, min_size=size, max_size=size)

    small = st.integers(-100, 100)
    return st.one_of(
        some(_INT).map(lambda v: np.array(v, dtype="i8")),
        some(st.floats(width=32)).map(lambda v: np.array(v, dtype="f4")),
        some(st.booleans()).map(lambda v: np.array(v, dtype="?")),
        some(_maybe(_INT)).map(lambda v: pd.array(v, dtype="Int64")),
        some(_maybe(st.booleans())).map(lambda v: pd.array(v, dtype="boolean")),
        some(_maybe(small)).map(lambda v: pd.array(v, dtype="Float32")),
        some(_maybe(_TEXT)).map(lambda v: pd.array(v, dtype="str")),
        some(_maybe(_TEXT)).map(lambda v: pd.array(v, dtype=pd.StringDtype("python"))),
        some(_maybe(small)).map(lambda v: pd.array(v, dtype="int32[pyarrow]")),
        some(_maybe(st.sampled_from("abc"))).map(
            lambda v: pd.Categorical(v, categories=["c", "a", "b", "unused"], ordered=True)
        ),
        st.tuples(some(_INT), st.sampled_from(["s", "ms", "us", "ns"])).map(
            lambda v: (
                pd.Series(np.array(v[0], dtype="i8") % 10**12).astype(f"M8[{v[1]}]").to_numpy()
            )
        ),
        st.tuples(some(small), st.sampled_from(_ZONES)).map(
            lambda v: (
                pd.DatetimeIndex(np.array(v[0], "M8[D]").astype("M8[ns]"))
                .tz_localize("UTC")
                .tz_convert(v[1])
                .array
            )
        ),
        some(small).map(lambda v: np.array(v, dtype="m8[ns]")),
        some(small).map(lambda v: pd.PeriodIndex.from_ordinals(v, freq="M").array),
        some(small).map(lambda v: pd.arrays.IntervalArray.from_tuples([(i, i + 1) for i in v]))
        if size
        else some(small).map(lambda v: np.array(v, dtype="i8")),
        some(st.one_of(st.none(), st.booleans(), small, _TEXT, st.lists(small, max_size=2))).map(
            _objects
        ),
    )


def _objects(values):
    array = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        array[at] = value
    return array


def _index(size):
    names = st.sampled_from([None, "name", 3, ("a", 1)])
    labels = st.lists(_TEXT, min_size=size, max_size=size)
    return st.one_of(
        names.map(lambda n: pd.RangeIndex(5, 5 + 2 * size, 2, name=n)),
        st.tuples(labels, names).map(lambda v: pd.Index(v[0], name=v[1], dtype="str")),
        names.map(lambda n: pd.date_range("2026-01-30", periods=size, freq="h", name=n)),
        names.map(lambda n: pd.timedelta_range("1s", periods=size, name=n)),
        names.map(lambda n: pd.period_range("2026-01", periods=size, freq="Q", name=n)),
        st.tuples(labels, names).map(lambda v: pd.CategoricalIndex(v[0], name=v[1])),
        labels.map(
            lambda v: pd.MultiIndex.from_arrays([v, list(range(len(v)))], names=["x", None])
        ),
    )


@st.composite
def _frames(draw):
    height, width = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    index = draw(_index(height))
    columns = {at: pd.Series(draw(_column(height)), index=index) for at in range(width)}
    frame = pd.DataFrame(columns, index=index)
    frame.columns = draw(_index(width))
    frame.attrs = draw(st.sampled_from([{}, {"unit": "m", "of": [1, (2,)]}]))
    return frame


def round_trip(value):
    return payloads.decode(payloads.encode(value))


def digest(value):
    found = stable_digest({"value": value})
    assert found is not None
    return found


def assert_same_frame(made, given_):
    pd.testing.assert_frame_equal(
        made,
        given_,
        check_exact=True,
        check_index_type=True,
        check_freq=True,
        check_flags=True,
    )
    assert type(made.index) is type(given_.index)
    assert type(made.columns) is type(given_.columns)
    assert list(made.dtypes) == list(given_.dtypes)
    assert made.attrs == given_.attrs


@_QUICK
@given(_frames())
def test_any_frame_comes_back_exactly_and_with_the_same_digest(frame):
    made = round_trip(frame)
    assert_same_frame(made, frame)
    assert digest(made) == digest(frame)
    assert digest(frame.copy(deep=True)) == digest(frame)
    for at in range(frame.shape[1]):
        series = frame.iloc[:, at]
        pd.testing.assert_series_equal(round_trip([series])[0], series, check_exact=True)


@_QUICK
@given(st.integers(0, 4).flatmap(_index))
def test_any_index_comes_back_exactly(index):
    made = round_trip(index)
    pd.testing.assert_index_equal(made, index, exact=True)
    assert getattr(made, "freq", None) == getattr(index, "freq", None)
    assert digest(made) == digest(index)


def test_cells_keep_their_python_types():
    cells = [1, True, 1.0, "1", None, (1,), pd.NA, pd.NaT, pd.Timestamp("2026-01-01", tz="UTC")]
    made = round_trip(pd.Series(cells, dtype=object))
    assert [type(each) for each in made] == [type(each) for each in cells]


@pytest.mark.parametrize(
    "value",
    [
        pd.Timestamp("2026-03-29 02:30:00.123456789"),
        pd.Timestamp("2026-10-25 01:30", tz="UTC").tz_convert("Europe/Berlin"),
        pd.Timestamp("2026-01-01").as_unit("s"),
        pd.Timedelta("1 days 3ns"),
        pd.Period("2026Q1"),
        pd.Interval(0.5, 1, closed="both"),
        pd.Categorical(["a", None], categories=["b", "a"]),
        pd.array([1, None], dtype="Int8"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_scalars_and_arrays(value):
    made = round_trip({"it": value})["it"]
    assert type(made) is type(value)
    assert repr(made) == repr(value)
    assert getattr(made, "unit", "") == getattr(value, "unit", "")
    assert digest(made) == digest(value)


def test_equal_columns_of_one_name_and_no_duplicate_labels():
    twins = pd.DataFrame([[1, "a"]], columns=["x", "x"])
    assert_same_frame(round_trip(twins), twins)
    strict = pd.DataFrame({"x": [1]}).set_flags(allows_duplicate_labels=False)
    assert not round_trip(strict).flags.allows_duplicate_labels


def test_another_dtype_name_or_order_is_another_digest():
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    others = [
        frame.astype("i4"),
        frame.astype("Int64"),
        frame[["b", "a"]],
        frame.rename(columns={"a": "c"}),
        frame.set_index("a"),
        frame.iloc[::-1],
        frame.rename_axis("i"),
        frame["a"],
    ]
    assert len({digest(each) for each in [frame, *others]}) == len(others) + 1


def test_how_a_multi_index_is_stored_is_no_matter():
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
    part = index[index.get_level_values(0) == "b"]
    fresh = pd.MultiIndex.from_tuples(list(part))
    assert part.equals(fresh)
    assert digest(part) == digest(fresh)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (pd.DataFrame({"a": [object()]}), "object"),
        (pd.Series(pd.arrays.SparseArray([0, 1])), "dense"),
        (type("MyFrame", (pd.DataFrame,), {})({"a": [1]}), "MyFrame"),
    ],
    ids=["objects", "sparse", "subclass"],
)
def test_what_cannot_come_back_exactly_is_refused(value, says):
    with pytest.raises(UnserializableResult, match=says):
        payloads.encode(value)
