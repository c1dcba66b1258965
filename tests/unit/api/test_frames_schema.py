"""The frame schema and its golden examples agree, and every frame type has an example."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

HERE = Path(__file__).parents[3] / "proto" / "headway_api" / "ipc" / "v1"
SCHEMA: dict[str, Any] = json.loads((HERE / "frames.schema.json").read_text())
EXAMPLES = sorted((HERE / "examples").glob("*.json"))
FILES = sorted((HERE / "examples" / "files").glob("*.json"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


OPTIONAL = {
    "data",
    "digest",
    "percent",
    "steps",
    "labels",
    "due_us",
    "tags",
    "expected_version",
}  # of some frames


def load(path: Path) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(path.read_text())
    return frame


def test_the_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_frame(path: Path):
    frame = load(path)
    VALIDATOR.validate(frame)
    assert path.stem.startswith(frame["type"])


def test_every_frame_type_has_an_example():
    assert {load(path)["type"] for path in EXAMPLES} == set(SCHEMA["properties"]["type"]["enum"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_example_matches_its_definition(path: Path):
    definition = {"$ref": f"#/$defs/{path.stem}", "$defs": SCHEMA["$defs"]}
    jsonschema.Draft202012Validator(definition).validate(load(path))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_unknown_fields_are_allowed_and_missing_ones_are_not(path: Path):
    frame = load(path)
    VALIDATOR.validate({**frame, "added_later": 1})
    optional = {"durable", "signal", "exit_code", "cause", "cache", "code", "keeps", "keep"}
    optional |= {"id", "run_dir", "files"} if frame["type"] in {"next", "idle"} else set()
    for name in frame.keys() - {"type"} - optional - OPTIONAL:
        assert not VALIDATOR.is_valid({k: v for k, v in frame.items() if k != name}), name


@pytest.mark.parametrize(
    "change",
    [
        {"text": "a\0b"},
        {"level": "LOUD"},
        {"call": "someone"},
        {"at_us": 1.5},
        {"type": "gossip"},
    ],
    ids=str,
)
def test_wrong_values_are_refused(change: dict[str, Any]):
    assert not VALIDATOR.is_valid({**load(HERE / "examples" / "log.json"), **change})
