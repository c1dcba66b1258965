"""Random hints with random values: what is written as JSON for a parameter comes back as the value; keys of the cache tell apart what differs."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict
from uuid import UUID

import jsonschema
import pydantic
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import FLOW_PARAMETERS, INPUTS, flow, task
from headway.digests import stable_digest
from headway.parameters import schema, validate
from headway.parameters.plain import plain
from headway.runtime.cache_parts import key_of, parts_of
from headway.runtime.cache_scope import Whose


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    label: str = "-"


class Options(TypedDict):
    depth: int


class Partly(TypedDict, total=False):
    since: date
    where: NotRequired[Point]


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.StrEnum):
    FAST = "fast"
    SAFE = "safe"


@dataclasses.dataclass(frozen=True)
class Tree:
    at: datetime
    point: Point | None = None
    below: tuple[Tree, ...] = ()
    by_day: dict[str, list[Colour]] = dataclasses.field(default_factory=dict)


class Column(pydantic.BaseModel):
    name: str
    since: date | None = None
    width: Annotated[int, pydantic.Field(ge=0)] = 1


class Table(pydantic.BaseModel):
    columns: list[Column]
    level: Level = Level.LOW
    options: dict[str, Column | None] = {}


ZONED = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 - zones come with the next argument
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=3))]
    ),
)
TREES = st.recursive(
    st.builds(Tree, ZONED, st.none() | st.builds(Point, st.integers(), st.text())),
    lambda below: st.builds(
        Tree,
        ZONED,
        below=st.lists(below, max_size=2).map(tuple),
        by_day=st.dictionaries(
            st.text(max_size=3), st.lists(st.sampled_from(Colour), max_size=2), max_size=2
        ),
    ),
    max_leaves=4,
)
COLUMNS = st.builds(Column, name=st.text(), since=st.none() | st.dates(), width=st.integers(0, 9))


# (hint, values of it)
Hint = tuple[Any, st.SearchStrategy[Any]]
PLAIN: list[Hint] = [
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, st.text()),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.sampled_from([None, UTC]))),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000))),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (bytes, st.binary(max_size=20)),
    (Path, st.sampled_from([Path("a/b"), Path("/x")])),
    (Colour, st.sampled_from(Colour)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Point, st.builds(Point, st.integers(), st.text())),
    (Options, st.fixed_dictionaries({"depth": st.integers()})),
    (
        Partly,
        st.fixed_dictionaries(
            {}, optional={"since": st.dates(), "where": st.builds(Point, st.integers(), st.text())}
        ),
    ),
    (datetime, ZONED),
    (int, st.integers(10**300, 10**320)),
    (Level, st.sampled_from(Level)),
    (Mode, st.sampled_from(Mode)),
    (Tree, TREES),
    (Column, COLUMNS),
    (
        Table,
        st.builds(
            Table,
            columns=st.lists(COLUMNS, max_size=2),
            level=st.sampled_from(Level),
            options=st.dictionaries(st.text(max_size=3), st.none() | COLUMNS, max_size=2),
        ),
    ),
    (Annotated[int, pydantic.Field(ge=0)], st.integers(0)),
    (int | None | list[str], st.none() | st.integers() | st.lists(st.text(), max_size=2)),
    (
        Point | list[int],
        st.builds(Point, st.integers(), st.text()) | st.lists(st.integers(), max_size=2),
    ),
    (bool | int, st.booleans() | st.integers()),
    (int | float, st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)),
    (date | int, st.dates() | st.integers()),
]


def around(inner: st.SearchStrategy[Hint]) -> st.SearchStrategy[Hint]:
    """Containers of hints."""

    def containers(each: Hint) -> st.SearchStrategy[Hint]:
        hint, values = each
        made: list[Hint] = [
            (list[hint], st.lists(values, max_size=3)),
            (tuple[hint, ...], st.lists(values, max_size=3).map(tuple)),
            (tuple[hint, int], st.tuples(values, st.integers())),
            (dict[str, hint], st.dictionaries(st.text(max_size=3), values, max_size=3)),
            (Optional[hint], st.none() | values),  # noqa: UP045 - of a hint in a variable
        ]
        if hint in (int, str, UUID):
            made += [
                (set[hint], st.sets(values, max_size=3)),
                (frozenset[hint], st.frozensets(values, max_size=3)),
                (dict[hint, int], st.dictionaries(values, st.integers(), max_size=3)),
            ]
        return st.sampled_from(made)

    return inner.flatmap(containers)


HINTS = st.recursive(st.sampled_from(PLAIN), around, max_leaves=3)


@settings(deadline=None)
@given(HINTS, st.data())
def test_a_value_written_as_json_comes_back_and_fits_the_schema(hint: Hint, data: Any):
    annotation, values = hint
    value = data.draw(values)

    def main(value):
        return value

    main.__annotations__ = {"value": annotation}
    subject = flow(main)
    raw = json.loads(json.dumps({"value": plain(value)}))
    found = validate(subject, raw)["value"]
    assert (found, type(found)) == (value, type(value))
    jsonschema.Draft202012Validator(schema(subject)).validate(raw)


ARGUMENTS = st.fixed_dictionaries(
    {
        "a": st.none()
        | st.booleans()
        | st.integers(-2, 2)
        | st.floats(-2, 2)
        | st.text(max_size=2),
        "b": st.lists(st.integers(0, 2), max_size=2) | st.dates(),
    }
)


@task(cache=INPUTS)
def by_inputs(a: Any, b: Any) -> None: ...


def key(target: Any, arguments: dict[str, Any], root: str = "/r", **parameters: Any) -> str:
    return key_of(parts_of(target, arguments, Whose(root), parameters))


@given(ARGUMENTS, ARGUMENTS)
def test_keys_of_the_cache_are_equal_for_equal_arguments_alone(one: Any, other: Any):
    is_equal = stable_digest(one) == stable_digest(other)
    assert (key(by_inputs, one) == key(by_inputs, other)) == is_equal
    assert key(by_inputs, one) == key(by_inputs, dict(reversed(one.items())))
    without = by_inputs.with_options(cache=INPUTS - "b")
    is_equal_in_a = stable_digest({"a": one["a"]}) == stable_digest({"a": other["a"]})
    assert (key(without, one) == key(without, other)) == is_equal_in_a
    assert key(without, one) != key(by_inputs, one)


@given(ARGUMENTS, st.integers(0, 2), st.integers(0, 2))
def test_each_part_of_a_policy_counts(arguments: Any, one: int, other: int):
    with_run = by_inputs.with_options(cache=INPUTS + FLOW_PARAMETERS)
    is_equal = key(with_run, arguments, n=one) == key(with_run, arguments, n=other)
    assert is_equal == (one == other)
    assert key(by_inputs, arguments, n=one) == key(by_inputs, arguments, n=other)
    assert key(by_inputs, arguments, "/r") != key(by_inputs, arguments, "/other")
    by_function = by_inputs.with_options(cache=lambda given: f"k{given['a']}")
    assert key(by_function, {**arguments, "a": one}) != key(by_function, {**arguments, "a": other}) or one == other  # fmt: skip


PARTS = st.dictionaries(st.text("abc.0", min_size=1, max_size=3), st.text("0=a", max_size=3), max_size=3)  # fmt: skip


@given(PARTS, PARTS)
def test_different_parts_make_different_keys(one: dict[str, str], other: dict[str, str]):
    assert (key_of(one) == key_of(other)) == (one == other)
