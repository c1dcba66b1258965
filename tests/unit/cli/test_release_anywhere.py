"""A run that no longer waits for its journal: what is executed again is said before it is done."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from headway.cli.verbs import runs

RUN = "0199d6a0-0000-7000-8000-00000000000a"


class Served:
    """A control plane with one run. `posted`: what was wanted of it."""

    def __init__(self, home: str | None = "far-1", done: int = 12) -> None:
        self.posted: list[tuple[str, Any]] = []
        self._run = {
            "id": RUN,
            "home": {"id": RUN, "name": home} if home else None,
            "tasks": {"completed": done, "skipped": 0},
        }

    def find_run(self, given: str) -> str:
        return RUN

    def get(self, path: str) -> dict[str, Any]:
        assert path == f"/runs/{RUN}"
        return self._run

    def post(self, path: str, body: Any) -> dict[str, Any]:
        self.posted.append((path, body))
        return self._run


def release(
    monkeypatch: pytest.MonkeyPatch, served: Served, *words: str, says: str | None = None
) -> Result:
    monkeypatch.setattr(runs.Client, "of_profile", lambda: served)
    monkeypatch.setattr(runs, "_show_changed", lambda *_: None)
    monkeypatch.setattr(runs, "_asks", lambda: says is not None)
    return CliRunner().invoke(runs.release, [RUN[:8], *words], input=says)


def test_it_says_what_is_executed_again(monkeypatch):
    served = Served()
    done = release(monkeypatch, served, "--anywhere")
    assert done.exit_code == 0, done.output
    assert "Agent far-1 has the journal" in done.stderr
    assert "the 12 calls that ended well too" in done.stderr
    assert served.posted == [(f"/runs/{RUN}/release", {"anywhere": True})]


@pytest.mark.parametrize(("says", "posts"), [("n\n", 0), ("y\n", 1), ("", 0)])
def test_in_a_terminal_it_asks(monkeypatch, says: str, posts: int):
    served = Served(done=0)
    done = release(monkeypatch, served, "--anywhere", says=says)
    assert "executes everything again: artifacts" in done.stderr
    assert len(served.posted) == posts


def test_who_has_agreed_is_not_asked(monkeypatch):
    served = Served()
    release(monkeypatch, served, "--anywhere", "--yes", says="n\n")
    assert len(served.posted) == 1


def test_where_nothing_is_lost_nothing_is_said(monkeypatch):
    for served, words in ((Served(home=None), ["--anywhere"]), (Served(), [])):
        done = release(monkeypatch, served, *words, says="n\n")
        assert (done.stderr, len(served.posted)) == ("", 1)
