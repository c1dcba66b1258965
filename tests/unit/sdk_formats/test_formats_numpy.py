"""numpy's values come back exactly, and equal ones have equal digests."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headway import payloads
from headway.digests import stable_digest
from headway.errors import UnserializableResult

_QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
_DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.array_dtypes(allow_subarrays=True),
)


def round_trip(value):
    return payloads.decode(payloads.encode(value))


def digest(value):
    found = stable_digest({"value": value})
    assert found is not None
    return found


def assert_same(made, given_):
    assert type(made) is np.ndarray
    assert made.dtype == given_.dtype
    assert made.shape == given_.shape
    assert made.tobytes() == given_.tobytes() or np.array_equal(made, given_)


@_QUICK
@given(st.data())
def test_any_array_comes_back_exactly_and_with_the_same_digest(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = data.draw(hnp.arrays(data.draw(_DTYPES), shape))
    made = round_trip(array)
    assert_same(made, array)
    assert digest(made) == digest(array)
    nested = round_trip({"array": [array]})["array"][0]
    assert_same(nested, array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4)[:, ::2],
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(12).reshape(3, 4).T,
        np.broadcast_to(np.float32(1), (3, 3)),
        np.zeros((0, 3)),
        np.array(3.5),
        np.array([1, 2], dtype=">i4"),
        np.array(["2026-01-01", "NaT"], dtype="M8[ms]"),
        np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.array([b"x", b""], dtype="S3"),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)
def test_layout_is_no_matter(array):
    array.flags.writeable = False
    assert_same(round_trip(array), array)
    assert digest(array) == digest(np.array(array, order="C"))


def test_bytes_between_the_fields_of_a_structure_are_no_part_of_it():
    dtype = np.dtype([("a", "i1"), ("b", "i8")], align=True)
    clean, dirty = np.zeros(2, dtype), np.frombuffer(b"\xff" * 32, dtype=dtype).copy()
    for name in dtype.names:
        dirty[name] = 0
    assert digest(clean) == digest(dirty)


def test_another_dtype_shape_or_number_is_another_digest():
    one = np.array([1, 2], dtype="i4")
    others = [
        one.astype("i8"),
        one.astype(">i4"),
        one.reshape(2, 1),
        one + 1,
        one.astype("f4"),
        [1, 2],
        one.view("M8[s]") if one.itemsize == 8 else one.astype("M8[s]"),
    ]
    assert len({digest(each) for each in [one, *others]}) == len(others) + 1


def test_all_nan_are_one():
    quiet, other = np.array([np.nan, 1.0]), np.array([np.nan, 1.0])
    other.view("u8")[0] ^= 1
    assert quiet.tobytes() != other.tobytes()
    assert digest(quiet) == digest(other)
    assert digest(np.array([complex(np.nan, 1)])) != digest(np.array([complex(1, np.nan)]))


@_QUICK
@given(st.data())
def test_any_scalar_comes_back_as_its_type(data):
    dtype = data.draw(hnp.scalar_dtypes())
    value = data.draw(hnp.from_dtype(dtype))
    value = value if isinstance(value, np.generic) else dtype.type(value)
    made = round_trip(value)
    assert type(made) is type(value)
    assert made.dtype == value.dtype
    assert made == value or (np.isnan(made) and np.isnan(value))
    assert digest(made) == digest(value)


def test_scalars_keep_their_kind_apart():
    ones = [np.float64(1), np.float32(1), np.int64(1), np.bool_(True), 1, 1.0, True]
    assert len({digest(each) for each in ones}) == len(ones)
    assert type(round_trip({"mean": np.float64("nan")})["mean"]) is np.float64


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.array([object()]), "astype"),
        (np.array(["a"], dtype=np.dtypes.StringDtype()), "astype")
        if hasattr(np.dtypes, "StringDtype")
        else (np.array([None]), "astype"),
        (np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]), "astype"),
        (np.array([1], dtype=np.dtype("i4", metadata={"unit": "m"})), "does not keep"),
        (np.ma.masked_array([1], [True]), "cannot be kept"),
        (np.array([(1,)], dtype=[("a", "i4")]).view(np.recarray), "cannot be kept"),
        (np.str_("a\0"), "NUL"),
    ],
    ids=["object", "string", "object field", "metadata", "masked", "recarray", "nul"],
)
def test_what_npy_does_not_keep_is_refused(value, says):
    with pytest.raises(UnserializableResult, match=says):
        payloads.encode(value)
    assert stable_digest({"value": value}) is None or says in ("NUL", "does not keep")
