"""The arrays and indexes that pandas' values are made of: a description, and numpy arrays where there are many numbers."""

from __future__ import annotations

from datetime import timedelta, timezone, tzinfo
from importlib import import_module
from io import BytesIO
from typing import Any

from headway.errors import UnserializableResult
from headway.formats import numpy_values

np: Any = import_module("numpy")
pd: Any = import_module("pandas")

_MASKED = (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)
TYPES = (pd.Categorical, *_MASKED)
"""Arrays that are values by themselves."""
INDEXES = (
    pd.Index,
    pd.RangeIndex,
    pd.MultiIndex,
    pd.DatetimeIndex,
    pd.TimedeltaIndex,
    pd.PeriodIndex,
    pd.CategoricalIndex,
    pd.IntervalIndex,
)


class Writing:
    """What a description refers to by number. `canonical`: it is only to be compared, and equal values are to be equal."""

    def __init__(self, *, canonical: bool) -> None:
        self.canonical = canonical
        self.blocks: list[Any] = []

    def keep(self, array: Any) -> int:
        array = np.asarray(array)
        numpy_values.check(array.dtype)
        self.blocks.append(array)
        return len(self.blocks) - 1


def describe(array: Any, out: Writing) -> dict[str, Any]:
    """Raises UnserializableResult for an array of a kind that is not known here."""
    dtype = array.dtype
    if isinstance(dtype, pd.StringDtype):  # first: some of its arrays are NumpyExtensionArrays
        return _describe_strings(array)
    if isinstance(dtype, np.dtype) or isinstance(array, pd.arrays.NumpyExtensionArray):
        values = array.to_numpy()
        if values.dtype.hasobject:
            return {"t": "object", "v": list(values)}
        return {"t": "numpy", "v": out.keep(values)}
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "t": "categorical",
            "codes": out.keep(array.codes),
            "categories": describe_index(array.categories, out),
            "ordered": array.ordered,
        }
    if isinstance(dtype, pd.DatetimeTZDtype):
        utc = array.tz_convert("UTC").tz_localize(None).to_numpy()
        return {"t": "datetime", "v": out.keep(utc), "zone": zone(array.tz)}
    if isinstance(array, _MASKED):
        missing = array.isna()
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return {"t": "masked", "v": out.keep(values), "missing": out.keep(missing)}
    if isinstance(dtype, pd.PeriodDtype):
        return {"t": "period", "v": out.keep(array.asi8), "dtype": str(dtype)}
    if isinstance(dtype, pd.IntervalDtype):
        left, right = describe_index(array.left, out), describe_index(array.right, out)
        return {"t": "interval", "left": left, "right": right, "closed": dtype.closed}
    if isinstance(dtype, pd.ArrowDtype):
        return _describe_arrow(array, out)
    raise UnserializableResult(
        f"pandas data of dtype {dtype}", "convert it with astype to one of pandas' own dense dtypes"
    )


def _describe_strings(array: Any) -> dict[str, Any]:
    dtype = array.dtype
    missing = array.isna()
    values = [
        None if gone else str(each)
        for each, gone in zip(array.to_numpy(dtype=object), missing, strict=True)
    ]
    na = "NA" if dtype.na_value is pd.NA else "nan"
    return {"t": "string", "v": values, "storage": dtype.storage, "na": na}


def _describe_arrow(array: Any, out: Writing) -> dict[str, Any]:
    arrow: Any = import_module("headway.formats.arrow_values")
    chunked = arrow.as_chunked(array)
    if out.canonical:
        return {"t": "arrow", "v": arrow.identity_chunked(chunked)}
    sink = BytesIO()
    arrow.write_chunked(chunked, sink)
    return {"t": "arrow", "v": out.keep(np.frombuffer(sink.getbuffer(), dtype="u1"))}


def make(said: dict[str, Any], blocks: list[Any]) -> Any:
    """The array of a description."""
    match said["t"]:
        case "numpy":
            return blocks[said["v"]]
        case "object":
            return np.fromiter(said["v"], dtype=object, count=len(said["v"]))
        case "categorical":
            categories = make_index(said["categories"], blocks)
            dtype = pd.CategoricalDtype(categories, ordered=said["ordered"])
            return pd.Categorical.from_codes(blocks[said["codes"]], dtype=dtype)
        case "string":
            other_na = {} if said["na"] == "NA" else {"na_value": np.nan}
            return pd.array(said["v"], dtype=pd.StringDtype(said["storage"], **other_na))
        case "datetime":
            utc = pd.DatetimeIndex(blocks[said["v"]]).tz_localize("UTC")
            return utc.tz_convert(make_zone(said["zone"])).array
        case _:
            return _make_rarer(said, blocks)


def _make_rarer(said: dict[str, Any], blocks: list[Any]) -> Any:
    match said["t"]:
        case "masked":
            values = blocks[said["v"]]
            kind = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
            return kind.get(values.dtype.kind, pd.arrays.IntegerArray)(
                values, blocks[said["missing"]]
            )
        case "period":
            dtype = pd.api.types.pandas_dtype(said["dtype"])
            return pd.arrays.PeriodArray(blocks[said["v"]], dtype=dtype)
        case "interval":
            left, right = (make_index(said[side], blocks) for side in ("left", "right"))
            return pd.arrays.IntervalArray.from_arrays(left, right, closed=said["closed"])
        case "arrow":
            arrow: Any = import_module("headway.formats.arrow_values")
            return pd.arrays.ArrowExtensionArray(arrow.read_chunked(blocks[said["v"]].tobytes()))
        case other:
            raise ValueError(f"no array {other!r}")


def describe_index(index: Any, out: Writing) -> dict[str, Any]:
    """Raises UnserializableResult."""
    if type(index) not in INDEXES:
        raise UnserializableResult(type(index).__qualname__, "its index is of a class of its own")
    if isinstance(index, pd.RangeIndex):
        return {
            "t": "range",
            "v": [index.start, index.stop, index.step],
            "name": index.name,
        }
    if isinstance(index, pd.MultiIndex):
        if out.canonical:  # equal entries may be spread over levels and codes in many ways
            levels = [index.get_level_values(at) for at in range(index.nlevels)]
            return {"t": "multi", "levels": [describe_index(level, out) for level in levels]}
        return {
            "t": "multi",
            "levels": [describe_index(level, out) for level in index.levels],
            "codes": [out.keep(codes) for codes in index.codes],
            "names": list(index.names),
        }
    is_regular = isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex)
    return {
        "t": "index",
        "v": describe(index.array, out),
        "name": index.name,
        "freq": index.freqstr if is_regular else None,
    }


def make_index(said: dict[str, Any], blocks: list[Any]) -> Any:
    """The index of a description."""
    match said["t"]:
        case "range":
            return pd.RangeIndex(*said["v"], name=said["name"])
        case "multi":
            levels = [make_index(level, blocks) for level in said["levels"]]
            codes = [blocks[at] for at in said["codes"]]
            return pd.MultiIndex(levels, codes, names=said["names"])
        case _:
            array = make(said["v"], blocks)
            index = pd.Index(array, dtype=array.dtype, name=said["name"])
            if said["freq"] is not None:
                index.freq = said["freq"]
            return index


def zone(given: tzinfo | None) -> Any:
    """A zone by its name in the zone database, or as its fixed offset in seconds."""
    if given is None:
        return None
    if type(given) is timezone:
        return given.utcoffset(None).total_seconds()
    if type(given).__module__.partition(".")[0] == "pytz" and getattr(given, "zone", None):
        return ["pytz", getattr(given, "zone", None)]  # what pandas 2 makes of a name
    name = getattr(given, "key", None)
    if type(given).__name__ != "ZoneInfo" or not isinstance(name, str):
        raise UnserializableResult(
            f"pandas data with the time zone {given!r}", "use a zoneinfo.ZoneInfo"
        )
    return name


def make_zone(said: Any) -> tzinfo | None:
    """The zone again."""
    if said is None:
        return None
    if isinstance(said, list):
        old: tzinfo = import_module("pytz").timezone(said[1])
        return old
    if isinstance(said, str):
        made: tzinfo = import_module("zoneinfo").ZoneInfo(said)
        return made
    return timezone.utc if not said else timezone(timedelta(seconds=said))  # noqa: UP017 - one name for all
