"""The page of settings: the control plane's are listed as its code has them, and no variable that anything reads is left out."""

import re
from pathlib import Path
from typing import Any

from headway_control_plane.settings import meanings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "guides" / "settings.md"
SOURCES = ("sdk/src", "execution_agent/src")
_ROW = re.compile(r"^\| `(HEADWAY_\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
_NAME = re.compile(r"""["'](HEADWAY_[A-Z_]+)["']""")


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """Default and meaning of each variable in one part of the page."""
    (part,) = [
        each
        for each in PAGE.read_text(encoding="utf-8").split("\n## ")
        if each.startswith(heading + "\n")
    ]
    return {name: (default, meaning) for name, default, meaning in _ROW.findall(part)}


def shown(default: Any) -> str:
    if default is None or default == "":
        return ""
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text.removesuffix('.0')}`"


def test_the_control_planes_settings_are_listed_as_they_are() -> None:
    expected = {name: (shown(default), meaning) for name, default, meaning in meanings().values()}
    assert rows("Control plane") == expected


def test_every_variable_of_agent_command_and_flow_is_listed() -> None:
    read = {
        name
        for source in SOURCES
        for file in (ROOT / source).rglob("*.py")
        for name in _NAME.findall(file.read_text(encoding="utf-8"))
    }
    listed = rows("Agent") | rows("Command") | rows("Flow")
    assert set(listed) == read
    assert all(meaning.endswith(".") for _, meaning in listed.values())
