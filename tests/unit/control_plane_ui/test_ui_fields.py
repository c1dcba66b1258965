"""Forms made from JSON Schemas: which input a field is, and what an empty one means."""

import pytest

from headway_control_plane.ui.views.fields import NotJson, fields_of, values_of

ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string"}, "zip": {"type": "integer"}},
    "required": ["street"],
}
OR_NULL = {"type": "null"}
SCHEMA = {
    "type": "object",
    "properties": {
        "decision": {"type": "string", "enum": ["approve", "reject"]},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "note": {"anyOf": [{"type": "string"}, OR_NULL], "default": None},
        "limit": {"anyOf": [{"type": "integer"}, OR_NULL]},
        "five": {"anyOf": [{"type": "integer"}, OR_NULL], "default": 5},
        "sure": {"anyOf": [{"type": "boolean"}, OR_NULL], "default": None},
        "until": {"anyOf": [{"type": "string", "format": "date"}, OR_NULL], "default": None},
        "address": {"$ref": "#/$defs/Address"},
    },
    "required": ["decision", "limit"],
    "$defs": {"Address": ADDRESS},
}


def test_each_type_has_its_input_and_says_what_it_takes():
    found = {field.label: field for field in fields_of(SCHEMA, {})}
    assert {name: field.kind for name, field in found.items()} == {
        "decision": "choice", "day": "date", "at": "text", "note": "text", "limit": "number", "five": "json",
        "sure": "json", "until": "date", "address": "json",
    }  # fmt: skip
    assert found["address"].help == 'as JSON: {"street": string, "zip": integer?}'
    assert "with zone" in found["at"].help
    assert found["note"].value == found["until"].value == ""
    assert found["five"].value == "5"


def test_an_empty_field_of_something_or_null_is_null_where_it_must_be_there():
    posted = {"p.decision": "approve", "p.note": "", "p.limit": "", "p.address": ""}
    assert values_of(SCHEMA, posted) == {"decision": "approve", "limit": None}
    posted |= {"p.note": "fine", "p.limit": "7", "p.day": "2026-11-23"}
    assert values_of(SCHEMA, posted) == {
        "decision": "approve", "note": "fine", "limit": 7, "day": "2026-11-23",
    }  # fmt: skip


def test_a_required_choice_that_nobody_made_is_missing():
    assert values_of(SCHEMA, {"p.decision": "", "p.limit": "1"}) == {"limit": 1}


def test_what_is_no_json_is_refused_with_an_example():
    with pytest.raises(NotJson, match="Texts stand in double quotes"):
        values_of(SCHEMA, {"p.address": "Main Street"})
