"""A frame that asks for a run and cannot be told is left out: the control plane would take nothing more of its attempt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway.runtime.frames_log import encode_frame
from headway.runtime.intake import END_OF_TIME_US, Intake
from headway.runtime.redaction import Redactor
from headway.runtime.store import Store
from headway_control_plane.log.facts import END_OF_TIME_US as THEIRS

WISH = {
    "type": "run.requested",
    "at_us": 1,
    "call": "2a67ac2425ebec16469781755bd7d1e5",
    "parent": "root",
    "name": "nightly",
    "run": "01a0c450-6c02-7c6f-880c-a4716d95736d",
    "due_us": 1_790_003_600_000_000,
}


def taken(**changes: Any) -> tuple[list[bytes], list[str]]:
    facts: list[bytes] = []
    notes: list[str] = []
    store = SimpleNamespace(
        writer=SimpleNamespace(append=facts.extend),
        output=SimpleNamespace(add=lambda **line: notes.append(line["text"])),
    )
    frame = {name: value for name, value in (WISH | changes).items() if value is not ...}
    Intake(cast("Store", store), 0, Redactor()).take(encode_frame(frame), 0.0)
    return facts, notes


@pytest.mark.parametrize("changes", [{}, {"due_us": ...}])
def test_a_wish_is_a_fact(changes: dict[str, Any]):
    assert [len(each) for each in taken(**changes)] == [1, 0]


@pytest.mark.parametrize(
    "changes",
    [
        *({"call": call} for call in (..., None, 7, "", "root", "zz" * 16, "ab", ["2a"])),
        *({"run": run} for run in (..., None, 7, "", "root", {})),
        *({"due_us": due} for due in (None, -1, 1.5, "1", True, 1 << 62)),
    ],
)
def test_what_names_no_run_is_left_out_and_told(changes: dict[str, Any]):
    facts, (note,) = taken(**changes)
    assert facts == []
    assert "left out" in note


def test_times_end_before_those_of_the_control_plane():
    assert END_OF_TIME_US <= THEIRS
