"""What `headway runs input` shows of a question, and how the kind of a value is said."""

from typing import Any

import pytest

from headway.cli.run_text import question
from headway.cli.schema_text import kind_words


def wait(**known: Any) -> dict[str, Any]:
    empty = {"title": "", "name": "", "until": None, "answered": False, "schema": {}}
    return {**empty, **known}


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "format": "date"}, "string (date)"),
        ({"enum": ["a", 1, None]}, "a | 1 | null"),
        ({"const": True}, "true"),
        ({"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]}, "string (uuid) | null"),
        ({"type": "array", "items": {"$ref": "#/$defs/Row"}}, "array of Row"),
        ({"$ref": "#/$defs/Colour"}, "red | blue"),
        ({}, "any"),
        (True, "any"),
    ],
)  # fmt: skip
def test_kinds(described: object, words: str) -> None:
    colour, row = {"enum": ["red", "blue"]}, {"type": "object"}
    assert kind_words(described, {"Colour": colour, "Row": row}) == words


def test_fields_are_shown_as_they_are_typed() -> None:
    fields = {"day": {"type": "string", "format": "date"}, "note": {"type": "string"}}
    schema = {"type": "object", "properties": fields, "required": ["day"]}
    assert question(wait(title="Which?", name="pick", schema=schema)).splitlines() == [
        "Which?  [pick]",
        "  -p day=...  string (date), required",
        "  -p note=...  string",
    ]


def test_a_question_that_is_asked_again_says_why() -> None:
    shown = question(wait(title="Which day?", name="day", problems=["answer: no date"]))
    assert shown.splitlines() == ["Which day?  [day]", "  not accepted: answer: no date"]


def test_a_question_that_the_pool_withholds_says_how_it_is_answered() -> None:
    head, help_ = question(wait(schema=None)).splitlines()
    assert head == "The run waits for an answer."
    assert "withheld by the pool" in help_
    assert "-p name=value" in help_
