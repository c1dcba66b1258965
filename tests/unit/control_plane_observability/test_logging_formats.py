import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from headway_control_plane.observability.logging import configure_logging

log = logging.getLogger("headway_control_plane.log.committer")


@pytest.fixture(autouse=True)
def _root_logger_as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(form, level, stream)
    return stream


def test_text_is_one_line_with_what_was_given_beside_it() -> None:
    stream = written("text")
    log.info("flushed %d events", 3, extra={"shard": 7})

    instant, _, rest = stream.getvalue().partition(" ")
    assert instant.endswith("Z")
    assert rest == "info log.committer: flushed 3 events shard=7\n"


def test_json_is_one_object_a_line_with_the_exception_inside() -> None:
    stream = written("json")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("cannot", extra={"shard": 7})

    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["message"], entry["shard"]) == ("error", "cannot", 7)
    assert "ZeroDivisionError" in entry["exception"]


def test_what_is_less_severe_is_left_out() -> None:
    stream = written("text", "warning")
    log.info("quiet")

    assert stream.getvalue() == ""
    assert sys.stderr is not stream
