"""The secret that keeps call keys from being tried out."""

import contextlib

from headway_agent.runner.state_dir import StateDir


def test_a_runs_salt_survives_restarts_and_is_its_own(tmp_path):
    with contextlib.closing(StateDir(tmp_path / "a")) as first:
        salt = first.salt("run-1")
        assert first.salt("run-2") != salt
    with contextlib.closing(StateDir(tmp_path / "a")) as again:
        assert again.salt("run-1") == salt
    with contextlib.closing(StateDir(tmp_path / "b")) as other:
        assert other.salt("run-1") != salt
    assert (tmp_path / "a" / "secret").stat().st_mode & 0o077 == 0
