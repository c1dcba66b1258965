import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway_agent.connection import permits
from headway_agent.connection.encoder import ERROR, FACTS, RESULT, WAIT, Encoded, Encoder
from headway_agent.connection.outputs import CONTENTS
from headway_agent.connection.permits import class_of, permits_of, scrub
from headway_api.agent.v1 import agent_service_pb2 as wire
from headway_api.common.v1 import data_class_pb2 as classes
from headway_api.event.v1 import attempt_pb2 as facts

EXAMPLES = Path(facts.__file__).parents[2] / "ipc" / "v1" / "examples"
FRAMES = {path.stem: path.read_bytes() for path in sorted(EXAMPLES.glob("*.json"))}
FACT_FRAMES = {n: f for n, f in FRAMES.items() if json.loads(f)["type"] in FACTS}
ALL = permits_of(classes.DataClass.values())
NEW_POOL = permits_of(
    [
        classes.DATA_CLASS_ID,
        classes.DATA_CLASS_TIMING,
        classes.DATA_CLASS_COUNTER,
        classes.DATA_CLASS_ERROR_CLASS,
    ]
)


def message_of(encoded: Encoded) -> Any:
    return getattr(facts, encoded.type).FromString(encoded.payload)


def said(encoded: Encoded) -> dict[str, Any]:
    return MessageToDict(message_of(encoded), preserving_proto_field_name=True)


def test_every_field_of_every_fact_has_a_source() -> None:
    nested = {"error": ERROR, "result": RESULT, "waits": WAIT, "wait": WAIT}
    for message, fields in FACTS.values():
        names = {field.name for field in message.DESCRIPTOR.fields}
        beside = {name for name in names if name.endswith("_digest") or name == "request_digest"}
        assert set(fields) | (names & set(nested)) | beside == names
    for kind, contents in CONTENTS.items():
        assert set(contents) == {
            field.name for field in FACTS[kind][0].DESCRIPTOR.fields if "digest" in field.name
        }
    assert set(WAIT) | {"request_digest"} == {f.name for f in facts.Wait.DESCRIPTOR.fields}
    assert set(ERROR) | {"text_digest"} == {f.name for f in facts.Error.DESCRIPTOR.fields}
    assert set(RESULT) | {"preview_digest"} == {f.name for f in facts.Result.DESCRIPTOR.fields}


@pytest.mark.parametrize("name", FACT_FRAMES)
def test_golden_frames_become_facts(name: str) -> None:
    frame = json.loads(FACT_FRAMES[name])
    encoded = Encoder(ALL).encode(FACT_FRAMES[name])
    assert encoded.type == "".join(part.title() for part in frame["type"].split("."))
    assert encoded.occurred_at_us == frame["at_us"]
    for digest, content in encoded.blobs:
        assert hashlib.sha256(content).digest() == digest


def test_a_whole_call() -> None:
    encoded = Encoder(ALL).encode(FRAMES["call.ended.failed"])
    message = message_of(encoded)
    assert message.call.hex() == "2a67ac2425ebec16469781755bd7d1e5"
    assert message.parent == b""
    assert (message.name, message.tries) == ("extract", 3)
    assert message.outcome == facts.CALL_OUTCOME_FAILED
    ((digest, content),) = encoded.blobs
    assert message.error.text_digest == digest
    assert json.loads(content)["traceback"][0]["code"] == "rows = extract(day)"


def test_the_last_fact_repeats_how_the_flow_ended() -> None:
    encoded = Encoder(ALL).encode(
        FRAMES["attempt.exited.completed"], FRAMES["attempt.ended.completed"]
    )
    assert message_of(encoded).result.size_bytes == 4
    assert encoded.blobs[0][1] == b"null"


@pytest.mark.parametrize("name", FACT_FRAMES)
@given(granted=st.sets(st.sampled_from(classes.DataClass.values())))
def test_nothing_leaves_but_what_is_permitted(name: str, granted: set[int]) -> None:
    permitted = permits_of(granted)
    encoded = Encoder(permitted).encode(FACT_FRAMES[name])
    _only(message_of(encoded), permitted)
    if classes.DATA_CLASS_TIMING not in permitted:
        assert encoded.occurred_at_us == 0
    content = {
        classes.DATA_CLASS_ERROR_TEXT,
        classes.DATA_CLASS_RESULT,
        classes.DATA_CLASS_PARAMETERS,
        classes.DATA_CLASS_ARTIFACT,
        classes.DATA_CLASS_EVENT,
        classes.DATA_CLASS_NAME,
    }
    if not permitted & content:
        assert encoded.blobs == ()


def _only(message: Any, permitted: permits.Permits) -> None:
    for field, value in message.ListFields():
        assert class_of(message, field.name) in permitted, field.full_name
        if field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                _only(one, permitted)


def test_a_new_pool_sees_no_word_of_the_customers() -> None:
    frame = {
        "type": "call.ended",
        "at_us": 1,
        "call": "root",
        "kind": "canary-kind",
        "name": "canary-name",
        "outcome": "canary-outcome",
        "tries": "canary-tries",
        "error": {"class": "Error: canary sentence", "message": "canary", "traceback": [{"file": "canary"}]},
        "result": {"codec": "canary codec", "size": 3, "digest": "canary", "data": "canary", "file": "canary"},
        "canary": "canary",
    }  # fmt: skip
    for kind in ("call.ended", "call.retrying", "attempt.ended", "attempt.exited", "canary.type"):
        for cause in ("canary-cause", 7):
            content = json.dumps({**frame, "type": kind, "cause": cause}).encode()
            encoded = Encoder(NEW_POOL).encode(content)
            assert b"canary" not in encoded.payload
            assert encoded.blobs == ()


def test_where_names_stay_a_class_comes_without_its_module() -> None:
    error = {"class": "canary_module.canary_function.<locals>.Unfit"}
    content = json.dumps({"type": "attempt.ended", "outcome": "failed", "error": error}).encode()
    told = {
        permits: facts.AttemptEnded.FromString(Encoder(permits).encode(content).payload)
        for permits in (NEW_POOL, ALL)
    }
    assert told[NEW_POOL].error.error_class == "Unfit"
    assert told[ALL].error.error_class == error["class"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'"x"', b"{}", b'{"type": 7}', b'{"type": "call.exploded"}', b"\xff\xfe", b"NaN"],
)  # fmt: skip
def test_what_cannot_be_read_still_takes_its_place(content: bytes) -> None:
    encoded = Encoder(ALL).encode(content)
    assert encoded.type == "FactDropped"
    assert message_of(encoded).type in ("unknown", "call.exploded")


def test_a_refused_last_fact_is_sent_bare() -> None:
    content = FRAMES["attempt.exited.crashed"].replace(
        b'"lines"', b'"error": {"class": "E"}, "lines"'
    )
    assert said(Encoder(ALL).dropped(content, "too odd")) == {
        "outcome": "ATTEMPT_OUTCOME_CRASHED",
        "signal": 11,
        "cause": "signal",
        "lines": "12",
    }


def test_text_is_made_fit_and_cut() -> None:
    frame = {"type": "call.started", "call": "zz", "name": "a\0b\ud800c" + "é" * 2_000}
    name = message_of(Encoder(ALL).encode(json.dumps(frame).encode())).name
    assert name.startswith("a\ufffdb\ufffdcé")
    assert len(name.encode()) <= 1_024
    error = {"class": "E", "message": "m" * 1_000_000, "traceback": [{"code": "c" * 9_000}] * 900}
    frame = {"type": "attempt.ended", "outcome": "failed", "error": error}
    encoded = Encoder(ALL).encode(json.dumps(frame).encode())
    assert encoded.size < 64 * 1024


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    st.dictionaries(
        st.sampled_from(["at_us", "call", "parent", "kind", "name", "try", "tries", "outcome", "error",
                         "result", "pid", "lines", "exit_code", "signal", "cause", "delay_us", "started_at_us"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["class", "message", "traceback", "codec", "size", "digest", "data"]), inner),
            max_leaves=5,
        ),
    ),
    st.sampled_from(sorted(FACTS)),
)  # fmt: skip
def test_no_frame_breaks_the_encoder(fields: dict[str, Any], kind: str) -> None:
    encoded = Encoder(ALL).encode(json.dumps({**fields, "type": kind}).encode())
    message_of(encoded)


def test_the_gate_clears_what_was_built_by_mistake() -> None:
    message = wire.SessionRequest(
        hello=wire.Hello(protocol=1, host="canary", slots=3, held=[wire.HeldAttempt(last_seq=4)])
    )
    scrub(message, permits.ENVELOPE)
    assert (message.hello.host, message.hello.slots, message.hello.held[0].last_seq) == ("", 3, 4)
    scrub(message, permits.NOTHING)
    assert (message.hello.protocol, message.hello.slots, message.hello.held[0].last_seq) == (
        1,
        0,
        0,
    )
    logs = wire.SessionRequest(logs=wire.LogBatch(first_line=1, content=b"canary"))
    scrub(logs, NEW_POOL | permits.ENVELOPE)
    assert logs.logs.content == b""


def test_a_skip_tells_its_cause_and_nothing_of_what_the_cache_said():
    frame = FRAMES["call.ended.cached"]
    content = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    encoded = Encoder(ALL).encode(content)
    assert message_of(encoded).cause == "cached"
    assert b"made by" not in encoded.payload
    odd = {**json.loads(content), "cause": "a free text"}
    assert message_of(Encoder(ALL).encode(json.dumps(odd).encode())).cause == ""


def test_a_reference_is_told_of_what_goes_to_the_store_alone() -> None:
    digest = "ab" * 32
    base = {"codec": "json", "size": 2, "digest": digest}
    place = f"s3://bucket/x/ab/{digest}"
    cases = [
        ("call.ended", {**base, "file": digest}, place),
        ("call.ended", {**base, "data": "{}"}, ""),
        ("attempt.exited", {**base, "data": "{}"}, place),
        ("attempt.exited", {**base, "file": digest}, place),
        ("attempt.exited", {"codec": "none", "size": 0, "digest": digest}, ""),
        ("call.ended", {**base, "file": digest, "secrets": []}, ""),
    ]
    for kind, result, expected in cases:
        raw = json.dumps({"type": kind, "at_us": 1, "outcome": "completed", "result": result})
        encoded = Encoder(ALL, "s3://bucket/x/").encode(raw.encode())
        message, _ = FACTS[kind]
        assert message.FromString(encoded.payload).result.reference == expected
    hidden = Encoder(NEW_POOL, "s3://bucket/x").encode(raw.encode())
    assert b"s3://" not in hidden.payload
