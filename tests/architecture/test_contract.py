"""The wire contract: every field says what it may reveal, and the generated code is current."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from headway_api.agent.v1 import agent_service_pb2
from headway_api.common.v1 import data_class_pb2
from headway_api.event.v1 import attempt_pb2, control_pb2

ROOT = Path(__file__).parents[2]
FILES = [agent_service_pb2.DESCRIPTOR, attempt_pb2.DESCRIPTOR, control_pb2.DESCRIPTOR]


def fields() -> list[FieldDescriptor]:
    return [
        field
        for file in FILES
        for message in file.message_types_by_name.values()
        for field in message.fields
    ]


@pytest.mark.parametrize("field", fields(), ids=lambda f: f.full_name)
def test_every_field_has_a_data_class(field):
    assert (
        field.GetOptions().Extensions[data_class_pb2.data_class]
        != data_class_pb2.DATA_CLASS_UNSPECIFIED
    )


def test_free_text_is_never_control():
    """CONTROL always passes the agent's encoder, so nothing that people write may stand under it."""
    own_words = {
        "AttemptExited.cause", "CallEnded.cause", "AttemptStarted.python", "AttemptStarting.sdk", "Fact.type", "FactDropped.type", "FactDropped.reason", "Result.codec",
        "Hello.agent_version", "Hello.capabilities", "AttemptAck.reason", "Goodbye.reason", "Cancel.reason",
        "Wait.kind", "ArtifactSaved.kind", "ArtifactSaved.media_type", "PoolCreated.name", "PoolCreated.permits", "PoolChanged.permits", "Assign.isolation",
    }  # fmt: skip
    agents_words = [
        field
        for file in (agent_service_pb2.DESCRIPTOR, attempt_pb2.DESCRIPTOR)
        for message in file.message_types_by_name.values()
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING
        and field.GetOptions().Extensions[data_class_pb2.data_class]
        == data_class_pb2.DATA_CLASS_CONTROL
    ]
    assert {f"{f.containing_type.name}.{f.name}" for f in agents_words} <= own_words


@pytest.mark.slow
def test_generated_code_is_current(tmp_path):
    """Generated anew in an environment of its own, it is what is committed."""
    environment = Path(os.environ.get("HEADWAY_PROTO_ENVIRONMENT", tmp_path / "generator"))
    done = subprocess.run(
        [sys.executable, ROOT / "proto" / "generate.py", "--check", "--environment", environment],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
