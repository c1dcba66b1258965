import stat
from pathlib import Path

import pytest

from headway_control_plane.main.profile import Profile, write_private


def test_a_profile_is_read_back_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "profile.json"
    profile = Profile("http://127.0.0.1:4200", "headway_key_x")
    profile.write(path)

    assert Profile.read(path) == profile
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"url": "http://x"}'])
def test_what_is_no_profile_counts_as_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "profile.json"
    if text is not None:
        path.write_text(text)

    assert Profile.read(path) is None


def test_writing_replaces_a_file_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
