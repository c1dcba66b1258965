"""What a flow may ask about its run goes from Assign through agent.db into start.json."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from headway_agent.connection.permits import NOTHING, Permits, permits_of
from headway_agent.loops.assignments import assignment_of
from headway_agent.runner import start_file
from headway_agent.runner.environments import Environment
from headway_api.agent.v1 import agent_service_pb2 as wire
from headway_api.common.v1 import data_class_pb2 as classes

SAID = {
    "tags": ["nightly", "eu"],
    "due_at_us": 1_790_000_000_000_000,
    "run_url": "https://headway.example/runs/1",
    "flow_version": "2026.11",
    "started_by": "run/0",
}


def started(
    assign: wire.Assign, names: Iterable[str] = SAID, permits: Permits = NOTHING
) -> dict[str, object]:
    assign.attempt.run = bytes(16)
    assign.attempt.fence = 1
    made = assignment_of(assign, permits)
    kept = start_file.from_json(json.loads(json.dumps(start_file.to_json(made))))
    assert kept == made
    start = start_file.content(
        kept,
        Environment("e", "/python", "/root"),
        env={},
        journal=start_file.Journal([], []),
        store=Path("/store"),
        wake=Path("/wake"),
        result_max=1,
        salt="",
        idle_us=0,
    )
    return {name: start[name] for name in names}


def test_all_of_it_arrives() -> None:
    assert started(wire.Assign(**SAID)) == SAID


def test_an_older_control_plane_says_none() -> None:
    assert started(wire.Assign()) == {
        "tags": [],
        "due_at_us": 0,
        "run_url": "",
        "flow_version": "",
        "started_by": "",
    }


@pytest.mark.parametrize(
    ("permitted", "said"),
    [
        ({classes.DATA_CLASS_NAME, classes.DATA_CLASS_PARAMETERS}, "settable"),
        ({classes.DATA_CLASS_NAME}, "withheld"),
        ({classes.DATA_CLASS_PARAMETERS}, "withheld"),
        (set(), "withheld"),
    ],
)
def test_the_flow_is_told_whether_it_may_set_variables(permitted: set[int], said: str) -> None:
    permits = permits_of(permitted)
    assert started(wire.Assign(), ["variables"], permits) == {"variables": said}


def test_what_an_older_agent_kept_is_read() -> None:
    kept = start_file.to_json(
        assignment_of(wire.Assign(attempt=wire.AttemptRef(run=bytes(16), fence=1)))
    )
    for name in SAID:
        del kept[name]
    assert start_file.from_json(kept).tags == ()
