"""What the pages name is there: attributes of the SDK, files, headings, and the verbs of the command."""

import importlib
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest

from headway.cli.main import GROUP, Shell

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_NAME = re.compile(r"`(headway(?:\.\w+)+)`")
_COMMAND = re.compile(r"(?:`|^\$ |^)headway ((?:[a-z][a-z-]* ?)+)", re.MULTILINE)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """As the forges make them of headings; a repeated one is numbered."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings]
    before = [plain[:at].count(each) for at, each in enumerate(plain)]
    return {f"{each}-{times}" if times else each for each, times in zip(plain, before, strict=True)}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path):
    for path, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{named(page)} links to {path}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{named(page)}: no heading #{anchor} in {path}"


def attribute(name: str) -> Any:
    """What a dotted name stands for, modules imported on the way."""
    found: Any = importlib.import_module("headway")
    so_far = "headway"
    for part in name.split(".")[1:]:
        so_far += f".{part}"
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(so_far)
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_of_the_sdk_exist(page: Path):
    for name in _NAME.findall(page.read_text(encoding="utf-8")):
        assert attribute(name) is not None


@pytest.fixture(scope="module")
def shell() -> click.Command:
    return Shell(list(entry_points(group=GROUP)))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_verbs_of_the_command_exist(page: Path, shell: click.Command):
    for words in _COMMAND.findall(page.read_text(encoding="utf-8")):
        verbs = words.split()
        command: click.Command | None = shell
        while verbs and isinstance(command, click.Group):
            command = command.get_command(click.Context(command), verbs.pop(0))
            assert command, f"{named(page)}: there is no `headway {words.strip()}`"
