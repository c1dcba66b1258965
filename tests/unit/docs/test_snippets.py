"""Every Python snippet of the documentation runs: per file in order, in one fresh module and an empty directory.

A block that opens with ```python no-run is compiled alone.
"""

import re
import sys
import types
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).parents[3] / "docs"
_BLOCK = re.compile(r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """One block, and the line of its file that it begins on."""

    line: int
    code: str
    runs: bool


def snippets(path: Path) -> list[Snippet]:
    text = path.read_text(encoding="utf-8")
    return [
        Snippet(
            text.count("\n", 0, found.start("code")),
            found["code"],
            found["mark"].strip() != "no-run",
        )
        for found in _BLOCK.finditer(text)
    ]


PAGES = [path for path in sorted(DOCS.rglob("*.md")) if snippets(path)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType(f"snippets_of_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for snippet in snippets(page):
        # Empty lines in front, so that an error names the line of the page.
        code = compile("\n" * snippet.line + snippet.code, str(page), "exec", dont_inherit=True)
        if snippet.runs:
            exec(code, module.__dict__)


def test_there_are_pages() -> None:
    assert PAGES
