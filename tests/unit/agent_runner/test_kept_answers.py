"""Answers to a flow that keeps its process: whole or not there, once each, for this user alone."""

from pathlib import Path

from headway.runtime.inbox import Inbox
from headway_agent.runner import answers
from headway_agent.runner.api import Answer

ONE, OTHER = "1" * 32, "2" * 32


def test_the_flow_finds_what_the_agent_keeps(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    assert inbox.find(ONE) is None
    answers.keep(tmp_path, Answer(ONE, False, {"approve": True}))
    found = inbox.find(ONE)
    assert found is not None
    assert found["value"] == {"approve": True}
    assert inbox.find(OTHER) is None
    answers.keep(tmp_path, Answer(OTHER, False, None))
    assert (inbox.find(OTHER) or {})["value"] is None
    assert (inbox.find(ONE) or {})["value"] == {"approve": True}


def test_an_answer_that_comes_again_changes_nothing(tmp_path: Path) -> None:
    answers.keep(tmp_path, Answer(ONE, False, 1))
    before = (tmp_path / answers.NAME).stat()
    answers.keep(tmp_path, Answer(ONE, False, 2))
    after = (tmp_path / answers.NAME).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert after.st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [answers.NAME]
