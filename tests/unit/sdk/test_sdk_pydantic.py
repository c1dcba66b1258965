"""pydantic in users' hints and values: read by it, described by it, kept exactly; and never imported by us."""

import subprocess
import sys
from datetime import date
from typing import Annotated, Any, Literal

import jsonschema
import pydantic
import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st

from headway import ParameterError, flow
from headway.digests import stable_digest
from headway.errors import UnserializableResult
from headway.parameters import defaults, schema, validate
from headway.payloads import decode, encode


class Column(pydantic.BaseModel):
    name: str = pydantic.Field(pattern="^[a-z]+$")
    width: int = pydantic.Field(default=1, gt=0)


class Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    since: date
    columns: list[Column] = []
    kind: Literal["fact", "dimension"] = "fact"


class Secretive(pydantic.BaseModel):
    _kept: int = pydantic.PrivateAttr(default=1)


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    since: date


Port = Annotated[int, Gt(0)]


_ID = Column(name="id")


@flow
def load(
    table: Table,
    port: Port = 80,
    tables: dict[str, Table] | None = None,
    url: pydantic.HttpUrl | None = None,
    strict: Strict | None = None,
    column: Column = _ID,
) -> None: ...


GOOD = {
    "table": {"since": "2026-01-02", "columns": [{"name": "id"}], "more": 1},
    "tables": {"a": {"since": "2026-01-03"}},
    "url": "https://example.org/x",
    "strict": {"since": "2026-01-04"},
}


def test_values_become_what_the_hints_say():
    values = validate(load, GOOD)
    assert values["table"] == Table(since=date(2026, 1, 2), columns=[Column(name="id")], more=1)  # type: ignore[call-arg]
    assert values["tables"]["a"].since == date(2026, 1, 3)
    assert str(values["url"]) == "https://example.org/x"
    assert values["strict"].since == date(2026, 1, 4)


def test_all_that_is_wrong_is_told_where_it_is():
    with pytest.raises(ParameterError) as caught:
        validate(load, {"table": {"since": "x", "columns": [{"name": "1", "width": 0}]}, "port": 0})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["port", "table.columns[0].name", "table.columns[0].width", "table.since"]


def _keywords(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_keywords, part))
    if isinstance(part, dict):
        return set(part).union(*map(_keywords, part.values()))
    return set()


def test_the_schema_is_valid_and_has_no_patterns():
    described = schema(load)
    jsonschema.Draft202012Validator.check_schema(described)
    jsonschema.validate(GOOD, described)
    assert "Column" in described["$defs"]
    assert "pattern" not in _keywords(described)
    assert described["properties"]["port"]["exclusiveMinimum"] == 0
    assert defaults(load)["column"] == {"name": "id", "width": 1}


columns = st.builds(Column, name=st.from_regex("^[a-z]+$", fullmatch=True), width=st.integers(1))
tables = st.builds(
    Table, since=st.dates(), columns=st.lists(columns), kind=st.sampled_from(["fact", "dimension"])
)


@given(tables)
def test_models_are_kept_exactly(table: Table):
    again = decode(encode(table))
    assert again == table
    assert again.model_fields_set == table.model_fields_set
    assert stable_digest({"table": again}) == stable_digest({"table": table}) is not None


def test_what_cannot_be_kept_exactly_is_not_kept():
    with pytest.raises(UnserializableResult, match="private attributes"):
        encode(Secretive())


def test_it_is_never_imported_by_us():
    code = "import headway, headway.parameters, headway.runtime.child, sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
