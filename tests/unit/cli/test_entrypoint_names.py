"""How `headway deploy` reads the name of a flow, and what it says of one that is none."""

from pathlib import Path

import pytest

from headway.cli.errors import CommandError
from headway.cli.introspection import entrypoint_of


def test_a_module_and_a_file_name_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").touch()
    monkeypatch.chdir(tmp_path)
    assert entrypoint_of("flows.etl:nightly", tmp_path) == "flows.etl:nightly"
    assert entrypoint_of("flows/etl.py:nightly", tmp_path) == "flows.etl:nightly"


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("etl.py", "names no flow", "headway deploy etl.py:FLOW"),
        ("etl:", "names no flow", "headway deploy etl:FLOW"),
        ("gone.py:nightly", "There is no file", "Check the path"),
    ],
)
def test_mistakes_are_told_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, message: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError) as told:
        entrypoint_of(target, tmp_path)
    assert message in told.value.message
    assert hint in told.value.hint
