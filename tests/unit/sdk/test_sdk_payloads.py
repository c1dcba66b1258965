"""Encoding of values: exact round trips, one text for equal values, clear refusals."""

import dataclasses
import enum
import functools
import hashlib
import json
import math
import pathlib
import zoneinfo
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import UnserializableResult, payloads
from headway.digests import call_key, explicit_digest, stable_digest
from headway.futures import Future
from headway.tagging import canonical, dumps, loads


class Colour(enum.Enum):
    RED = "red"
    BLUE = ("b", 1)


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    value: Any
    total: int = dataclasses.field(init=False, default=7)


@dataclasses.dataclass
class Node:
    below: list["Node"]


@dataclasses.dataclass
class Base:
    x: Any

    @functools.cached_property
    def cached(self) -> Any:
        return [self.x]


class Below(Base):
    """Holds more than what it was declared with."""

    def __init__(self, x: Any, extra: Any) -> None:
        super().__init__(x)
        self.extra = extra


@dataclasses.dataclass
class Computed:
    x: Any

    def __post_init__(self) -> None:
        self.twice = [self.x, self.x]


@dataclasses.dataclass
class Table(dict[str, int]):
    name: str = ""


class Slotted(Base):
    __slots__ = ("more",)


class Loose(NamedTuple("Loose", [("x", int)])):
    """Has room for attributes, as all classes below one."""


class Unhashed(type):
    __hash__ = None  # type: ignore[assignment] # what a metaclass may do


class Strange(metaclass=Unhashed):
    pass


ZONES = st.sampled_from(
    [None, UTC, timezone(timedelta(hours=-3, minutes=-30)), zoneinfo.ZoneInfo("Europe/Paris")]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters()),
    st.text(st.characters(categories=("Cs", "Cc")), max_size=4),
    st.binary(max_size=20),
    st.complex_numbers(allow_nan=False),
    st.builds(datetime.replace, st.datetimes(timezones=ZONES), fold=st.integers(0, 1)),
    st.dates(),
    st.times(timezones=st.sampled_from([None, UTC])),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.sampled_from([*Colour, *Level, Right.READ, Right.READ | Right.WRITE, Right(0)]),
    st.sampled_from(
        [pathlib.Path("/a/b"), pathlib.PureWindowsPath("c:\\x"), pathlib.PurePosixPath("p")]
    ),
    st.builds(range, st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 3)),
    st.integers(1_000, 5_000).map(lambda bits: 1 - 2**bits),
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Point, inner, inner),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    SCALARS | HASHABLE | st.builds(bytearray, st.binary(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3) | st.just("$"), inner, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.builds(Row, st.text(max_size=3), inner),
        st.builds(Below, inner, inner),
        st.builds(Computed, inner),
    ),
    max_leaves=12,
)


def attributes(value: Any) -> dict[str, Any]:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(sorted({**fields, **value.__dict__}.items()))


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types all the way down."""
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return same(attributes(a), attributes(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, datetime | time):
        return a == b and a.fold == b.fold and a.tzinfo == b.tzinfo
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


@given(VALUES)
def test_values_come_back_as_they_went(value: Any):
    payload = payloads.encode(value)
    assert same(payloads.decode(payload), value)
    assert payload.data == payloads.encode(value).data


@given(VALUES)
def test_the_text_is_strict_json_that_frames_can_carry(value: Any):
    text = dumps(value).decode()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(text, parse_constant=refuse)
    assert "\0" not in text


@given(VALUES, VALUES)
def test_digests_are_equal_for_the_same_value_and_only_then(one: Any, other: Any):
    assert stable_digest({"a": one}) == stable_digest({"a": loads(dumps(one))})
    if one != other:
        assert stable_digest({"a": one}) != stable_digest({"a": other})


@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=2, max_size=4))
def test_the_order_of_a_dict_does_not_change_its_digest(value: dict[str, Any]):
    turned = dict(reversed(value.items()))
    assert stable_digest({"a": value}) == stable_digest({"a": turned})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        ([1], (1,)),
        ({1: "a"}, {"1": "a"}),
        ({1}, frozenset({1})),
        (b"a", "a"),
        (0.0, -0.0),
        (Level.LOW, 1),
        (None, "null"),
        ({"$": "tuple", "v": [1]}, (1,)),
        (Point(1, 2), (1, 2)),
        (date(2020, 1, 1), "2020-01-01"),
    ],
    ids=repr,
)
def test_values_that_python_or_json_confuse_have_different_digests(one: Any, other: Any):
    assert stable_digest({"a": one}) != stable_digest({"a": other})


def test_nan_is_kept():
    value = payloads.decode(payloads.encode([math.nan, math.inf, {"a": -math.inf}]))
    assert math.isnan(value[0])
    assert value[1:] == [math.inf, {"a": -math.inf}]


def test_numbers_beyond_the_interpreters_limit_of_digits_are_kept():
    value = [10**5000, 1]
    assert payloads.decode(payloads.encode(value)) == value


def test_bytes_are_encoded_as_themselves():
    payload = payloads.encode(b"\0\xff")
    assert payload == ("bytes", b"\0\xff")
    assert payloads.decode(payload) == b"\0\xff"


class Opaque:
    pass


class OddZone(tzinfo):
    pass


def _looping() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@dataclasses.dataclass
class Outer:
    inner: Any


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        [{"deep": Opaque()}],
        Outer(Opaque()),
        lambda: 1,
        OrderedDict(a=1),
        iter([]),
        datetime(2020, 1, 1, tzinfo=OddZone()),
        _looping(),
        type("Text", (str,), {})("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_exact_encoding_is_refused_by_name(value: Any):
    with pytest.raises(UnserializableResult, match="register_codec"):
        payloads.encode(value)
    assert stable_digest({"a": value}) is None


def test_a_class_inside_a_function_is_refused():
    @dataclasses.dataclass
    class Local:
        a: int

    with pytest.raises(UnserializableResult, match="inside a function"):
        payloads.encode(Local(1))


def test_pickle_only_where_json_cannot_and_only_by_opt_in():
    assert payloads.encode([1], pickled=True).codec == "json"
    payload = payloads.encode(OrderedDict(a=1), pickled=True)
    assert payload.codec == "pickle"
    assert payloads.decode(payload) == OrderedDict(a=1)
    with pytest.raises(UnserializableResult, match="pickle says"):
        payloads.encode(lambda: 1, pickled=True)


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


def test_registered_codecs_round_trip_and_have_digests():
    payloads.register_codec(Money, "test-money", lambda m: (m.cents,), lambda v: Money(*v))
    payload = payloads.encode({"m": [Money(5)]})
    assert payloads.decode(payload)["m"][0].cents == 5
    assert stable_digest({"m": Money(5)}) == stable_digest({"m": Money(5)})
    assert stable_digest({"m": Money(5)}) != stable_digest({"m": Money(6)})


@pytest.mark.parametrize(
    ("kind", "name"), [(list, "mine"), (Opaque, "tuple"), (Opaque, "call"), (UUID, "x")]
)
def test_standard_types_and_names_are_taken(kind: type, name: str):
    with pytest.raises(ValueError, match="taken"):
        payloads.register_codec(kind, name, str, str)


def test_futures_stand_by_the_key_of_their_call_in_digests_only():
    future: Future[int] = Future("k" * 32)
    assert json.loads(canonical([future])) == [{"$": "call", "v": "k" * 32}]
    with pytest.raises(UnserializableResult):
        dumps([future])
    with pytest.raises(UnserializableResult):
        canonical(Future())


def test_decimals_keep_their_digits():
    assert str(payloads.decode(payloads.encode(Decimal("1.50")))) == "1.50"


def test_keys_depend_on_each_part_and_are_fixed_for_ever():
    digest = stable_digest({"day": "2026-09-21"})
    assert digest == hashlib.sha256(b'{"day":"2026-09-21"}').hexdigest()
    key = call_key("root", "extract", digest, 0)
    assert key == "6c80b4a3eb532ebd7ce7929fbca51167"
    others = {
        call_key("r", "extract", digest, 0),
        call_key("root", "load", digest, 0),
        call_key("root", "extract", explicit_digest("k"), 0),
        call_key("root", "extract", digest, 1),
    }
    assert len(others | {key}) == 5


CALLED: list[object] = []


@pytest.mark.parametrize("kind", ["flag", "enum", "namedtuple", "dataclass", "pydantic"])
@pytest.mark.parametrize("what", ["CALLED.append", "Colour.mro", "Right", "Row", "Point", "Colour"])
def test_json_makes_nothing_but_what_it_says(kind: str, what: str) -> None:
    """It may come from a store that others write to, and `os:system` is a path like any other."""
    made_of = {"Right": "flag", "Colour": "enum", "Row": "dataclass", "Point": "namedtuple"}
    if made_of.get(what) == kind or (kind == "enum" and what == "Right"):
        return
    text = json.dumps({"$": kind, "t": f"{__name__}:{what}", "v": "id", "extra": {}, "given": []})
    with pytest.raises(ValueError, match=f"is no {kind}"):
        loads(text.encode())
    assert CALLED == []


def test_what_is_beside_the_fields_of_a_dataclass_counts_and_comes_back():
    assert stable_digest({"a": Below(1, "x")}) != stable_digest({"a": Below(1, "y")})
    assert payloads.decode(payloads.encode(Below(1, {"k": math.inf}))).extra == {"k": math.inf}
    one, other = Base(1), Base(1)
    assert one.cached == [1]
    assert stable_digest({"a": one}) == stable_digest({"a": other})
    assert "cached" not in payloads.decode(payloads.encode(one)).__dict__


def _loose() -> Loose:
    value = Loose(1)
    value.note = "x"  # type: ignore[attr-defined] # what a namedtuple cannot do, and a class below one can
    return value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Table("x"), "it is a container too"),
        (Slotted(1), "its slot 'more' is no field"),
        (_loose(), "it has attributes of its own"),
        (Strange(), "looking at it raised TypeError"),
        (Below(1, object()), "builtins.object"),
    ],
)
def test_what_would_lose_something_is_refused(value: Any, says: str):
    with pytest.raises(UnserializableResult, match=says):
        payloads.encode(value)
    assert stable_digest({"a": value}) is None
