"""Parameters: merged, checked whole, and nothing fetched to check them."""

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_control_plane.application.errors import (
    InvalidParameters,
    InvalidRequest,
    TooLarge,
    UseCaseError,
)
from headway_control_plane.application.json_values import canonical, problems_of
from headway_control_plane.application.parameters import (
    check_schema,
    merge_parameters,
    value_problems,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string"},
        "sizes": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["region", "sizes"],
    "additionalProperties": False,
}


def merge(given_: dict, schema: dict | None = None, defaults: dict | None = None) -> dict:
    encoded = json.dumps(schema or {}).encode(), json.dumps(defaults or {}).encode()
    return json.loads(merge_parameters("d", *encoded, given_))


def paths(error: UseCaseError) -> list[str]:
    return [problem.path for problem in error.problems]


def test_given_values_win_over_defaults() -> None:
    assert merge({"a": 1}, defaults={"a": 0, "b": 2}) == {"a": 1, "b": 2}


def test_every_problem_is_named_once_with_its_place() -> None:
    with pytest.raises(InvalidParameters) as refused:
        merge({"sizes": [1, "x", None], "colour": 1}, SCHEMA)
    assert sorted(paths(refused.value)) == [
        "parameters.colour",
        "parameters.region",
        "parameters.sizes[1]",
        "parameters.sizes[2]",
    ]


def test_two_missing_parameters_are_two_problems() -> None:
    with pytest.raises(InvalidParameters) as refused:
        merge({}, SCHEMA)
    assert sorted(paths(refused.value)) == ["parameters.region", "parameters.sizes"]


def test_the_limit_is_of_the_merged_bytes() -> None:
    with pytest.raises(TooLarge):
        merge({"b": "x" * 200_000}, defaults={"a": "y" * 100_000})


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args, **_more):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(InvalidRequest) as refused:
        check_schema({"$ref": "http://example.invalid/schema.json"})
    assert "only references within" in refused.value.problems[0].message


@pytest.mark.parametrize(
    "schema",
    [{"type": "no such type"}, {"properties": []}, {"$ref": "#/$defs/absent"}, {"minLength": -1}],
)
def test_what_is_no_schema_is_refused_when_it_is_deployed(schema: dict) -> None:
    with pytest.raises(InvalidRequest):
        check_schema(schema)


def test_references_within_the_schema_work() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    check_schema(schema)
    assert merge({"a": 1}, schema) == {"a": 1}
    with pytest.raises(InvalidParameters):
        merge({"a": "x"}, schema)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4))
def test_whatever_is_accepted_survives_the_database(value: dict) -> None:
    if list(problems_of(value, "$")):
        with pytest.raises(InvalidParameters):
            merge(value)
    else:
        kept = merge(value)
        assert kept == value
        assert "\x00" not in json.dumps(kept, ensure_ascii=False)
        assert canonical(kept) == canonical(dict(reversed(list(value.items()))))


def test_regular_expressions_are_refused_wherever_they_stand() -> None:
    """One that backtracks without end would hold up every tenant."""
    hidden = {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": "(a+)+$"}]}}
    with pytest.raises(InvalidRequest) as refused:
        check_schema({"properties": {"x": hidden, "y": {"patternProperties": {"^a": {}}}}})
    assert [p.message.split()[0] for p in refused.value.problems] == [
        "pattern",
        "patternProperties",
    ]
    check_schema({"properties": {"pattern": {"type": "string", "default": {"pattern": "x"}}}})


def forks(depth: int) -> dict:
    """A short schema that a value is checked against 2**depth times."""
    names = [f"#/$defs/d{n + 1}" for n in range(depth)]
    forking = {f"d{n}": {"allOf": [{"$ref": name}, {"$ref": name}]} for n, name in enumerate(names)}
    return {
        "$defs": {**forking, f"d{depth}": {"type": "integer"}},
        "properties": {"x": {"$ref": "#/$defs/d0"}},
    }


FORKS = forks(40)
MANY = {"anyOf": [{"minProperties": 10_000}] * 300}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (FORKS, 1),
        ({**FORKS, "properties": {"x": {"$schema": DIALECT, "$ref": "#/$defs/d0"}}}, 1),
        ({**FORKS, "properties": {"x": {"$schema": DRAFT_7, "$ref": "#/$defs/d0"}}}, 1),
        (
            {
                "$defs": {"a": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}] * 2, "maxItems": 0}},
                "properties": {"x": {"$ref": "#/$defs/a"}},
            },
            json.loads("[" * 60 + "]" * 60),
        ),
        ({"properties": {"x": {"$ref": "#/$defs/d0", "unevaluatedProperties": False}}, "$defs": FORKS["$defs"]}, {}),
        ({"properties": {"x": MANY}}, {f"name {n}": n for n in range(5_000)}),
        ({"properties": {"x": {"items": {"enum": list(range(20_000))}}}}, [-1] * 20_000),
    ],
    ids=["forks", "of its dialect", "of another", "in depth", "unevaluated", "quotes", "enum"],
)  # fmt: skip
def test_a_check_that_would_never_end_is_given_up(schema: dict, value: object) -> None:
    """It would hold up every tenant of the process."""
    check_schema(schema)
    with pytest.raises(InvalidParameters) as refused:
        merge({"x": value}, schema)
    assert "takes too long to check" in refused.value.problems[0].message
    [problem] = value_problems(json.dumps(schema).encode(), {"x": value})
    assert "takes too long to check" in problem.message


def test_a_set_of_many_objects_is_quickly_checked() -> None:
    schema = {"properties": {"x": {"type": "array", "uniqueItems": True}}}
    many = [{"id": n} for n in range(15_000)]
    assert merge({"x": many}, schema) == {"x": many}
    with pytest.raises(InvalidParameters):
        merge({"x": [*many, {"id": 3}]}, schema)


@pytest.mark.parametrize(
    ("items", "unique"),
    [([1, True], True), ([1, 1.0], False), ([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], False), ([[0], [False]], True), (["1", 1], True)],
)  # fmt: skip
def test_what_is_equal_in_json_is_no_second_item(items: list, unique: bool) -> None:
    schema = {"properties": {"x": {"uniqueItems": True}}}
    assert (merge_problems({"x": items}, schema) == []) is unique


def merge_problems(given_: dict, schema: dict) -> list[str]:
    try:
        merge(given_, schema)
    except InvalidParameters as refused:
        return paths(refused)
    return []


def test_the_largest_ordinary_parameters_are_checked_whole() -> None:
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}}
    rows = {"items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}
    schema = {"properties": {"numbers": numbers, "rows": rows}}
    value = {"numbers": [7] * 50_000, "rows": [{"a": "b"}] * 10_000}
    assert merge(value, schema) == value


def test_a_schema_that_takes_for_ever_to_check_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        check_schema({"required": [{"a": n} for n in range(20_000)]})


@pytest.mark.parametrize("name", ["default", "const", "enum", "examples"])
def test_an_expression_hides_behind_no_name(name: str) -> None:
    expression = {"type": "string", "pattern": "(a+)+$"}
    for schema in (
        {"properties": {name: expression}},
        {"$defs": {name: expression}},
        {name: expression, "properties": {"x": {"$ref": f"#/{name}"}}},
        {name: expression, "properties": {"x": {"$dynamicRef": f"#/%{ord(name[0]):02x}{name[1:]}"}}},
    ):  # fmt: skip
        with pytest.raises(InvalidRequest):
            check_schema(schema)
    check_schema({"properties": {"x": {"$ref": f"#/$defs/{name}"}}, "$defs": {name: {}}})
    assert merge_problems({"x": "a" * 40 + "!"}, {"properties": {"x": expression}}) == [
        "parameters.x"
    ]
