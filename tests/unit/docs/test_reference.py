"""The pages of the Python API say what the docstrings say, and leave out nothing that is public."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import headway

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_current(reference: ModuleType):
    assert reference.main(["--check"]) == 0, "run: make reference"


def test_each_public_name_stands_on_one_page(reference: ModuleType):
    told = [name for topic in reference.TOPICS if topic.module == "headway" for name in topic.names]
    assert sorted(told) == sorted(set(headway.__all__) - reference.ELSEWHERE), (
        "give the name a place in TOPICS of docs/make_reference.py, then run: make reference"
    )


@pytest.mark.parametrize("name", sorted(headway.__all__))
def test_each_public_name_has_a_docstring(name: str, reference: ModuleType):
    text = "\n".join(reference.pages().values())
    if name in reference.ELSEWHERE - {"__version__"}:
        assert f"## `{name}`" in text
    elif name != "__version__":
        after = text.split(f"## `{name}`\n", 1)[1].lstrip()
        assert not after.startswith("## "), f"{name} has no docstring"
