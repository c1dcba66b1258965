"""What agents write is shown as far as it can be read; what cannot be read costs its own line alone."""

import json

import pytest
import zstandard

from headway_control_plane.application.answer_run import Request, read_request
from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.projections.attempts import view_error
from headway_control_plane.projections.logs import LogFilter, LogPage, _Chunk, _collect
from headway_control_plane.ui.views.parts import first_lines
from headway_control_plane.ui.views.run_page import pretty_json

DEEP = b"[" * 100_000 + b"]" * 100_000


def page(*rows: bytes) -> LogPage:
    chunk = _Chunk(1, len(rows), zstandard.compress(b"\n".join(rows)))
    following = _Chunk(len(rows) + 1, 1, zstandard.compress(json.dumps({"text": "after"}).encode()))
    return _collect([chunk, following], 0, 100, LogFilter())


def test_a_line_that_is_nested_without_end_costs_its_chunk_alone() -> None:
    shown = [line.text for line in page(b'{"text": "fine"}', b'{"text": ' + DEEP + b"}").lines]
    assert shown == ["[2 lines cannot be read]", "after"]


def test_half_of_a_pair_in_a_line_is_replaced() -> None:
    (first, _) = page(rb'{"text": "a\ud800b", "call": "\uDFFF"}').lines
    assert (first.text, first.call) == ("a?b", "?")


@pytest.mark.parametrize("text", [b"\\ud83d\\ude00", "é😀".encode()])
def test_whole_pairs_stay(text: bytes) -> None:
    assert read_foreign(b'"' + text + b'"') == (json.loads(b'"' + text + b'"'))


@pytest.mark.parametrize("content", [DEEP, b'{"message": ' + DEEP + b"}", b"{", b"1" * 10_000])
def test_every_reader_of_an_agents_json_outlives_it(content: bytes) -> None:
    assert view_error("Boom", b"d", {b"d": content}) is not None
    assert first_lines({b"d": content}) == {}
    assert pretty_json(content)
    assert read_request(content) == Request()
    with pytest.raises(ValueError, match=r"."):
        read_foreign(content)


@pytest.mark.parametrize(
    ("told", "message", "traceback"),
    [
        (b'{"message": [1], "traceback": "at"}', None, None),
        (b'{"message": "m", "traceback": [{"file": "f"}]}', "m", [{"file": "f"}]),
        (b'{"message": "m", "traceback": [1]}', "m", None),
    ],
)
def test_an_error_is_shown_as_far_as_it_has_its_form(told, message, traceback) -> None:
    error = view_error("Boom", b"d", {b"d": told})
    assert error is not None
    assert (error.message, error.traceback) == (message, traceback)
