"""A list of the newest attempt says that there are earlier ones."""

from typing import Any, cast

import pytest

from headway.cli.client import Client
from headway.cli.verbs.attempts import hint_at_others


class Answers:
    def __init__(self, attempt: int | None) -> None:
        self.attempt = attempt

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/runs/one"
        return {"attempt": self.attempt}


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (None, ""),
        (1, ""),
        (2, "This is attempt 2, the newest. Earlier: --attempt 1\n"),
        (5, "This is attempt 5, the newest. Earlier: --attempt 1 to 4\n"),
    ],
)
def test_earlier_attempts_are_named(
    capsys: pytest.CaptureFixture[str], attempt: int | None, told: str
):
    hint_at_others(cast("Client", Answers(attempt)), "one")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", told)
