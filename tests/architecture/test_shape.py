"""The shape of the code: sizes, dependencies, and what a public function says."""

import ast
import gc
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    "sdk/src/headway",
    "execution_agent/src/headway_agent",
    "control_plane/src/headway_control_plane",
]
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
LINES_PER_FILE, LINES_PER_FUNCTION = 400, 60


def tree_of(path: Path) -> ast.Module:
    """The syntax tree. A collection in the midst of it runs other tests' finalisers, which CPython 3.11 answers with SystemError."""
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def test_files_stay_small():
    long = {
        str(p.relative_to(ROOT)): n
        for p in SOURCES
        if (n := len(p.read_text().splitlines())) > LINES_PER_FILE
    }
    assert not long, "split what is more than one thing"


def test_functions_stay_small():
    long = {}
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.end_lineno - node.lineno + 1 > LINES_PER_FUNCTION
            ):
                long[f"{path.relative_to(ROOT)}:{node.name}"] = node.end_lineno - node.lineno + 1
    assert not long


@pytest.mark.parametrize("package", ["proto", "sdk", "execution_agent", "control_plane"])
def test_distributions_need_what_design_says(package):
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    names = {d.split(">")[0].split("[")[0].split(";")[0].strip() for d in project["dependencies"]}
    if package == "sdk":
        assert names == set(), "the SDK brings nothing into its users' environments"
    if package == "execution_agent":
        assert not names & {"sqlalchemy", "psycopg", "fastapi", "headway", "headway-control-plane"}
        assert len(names) < 15
    if package == "control_plane":
        assert not names & {"headway", "headway-agent", "cloudpickle"}


def test_no_pickle_outside_the_sdk():
    """Nothing but the user's own process unpickles anything."""
    for path in SOURCES:
        if "sdk/" in str(path):
            continue
        for node in ast.walk(tree_of(path)):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [getattr(node, "module", "")]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {"pickle", "cloudpickle", "marshal", "shelve"} & set(names), path


def test_no_imports_hide_in_functions():
    """An import inside a function hides a dependency; where it buys start-up time, it is a lazy module attribute or a command's own load."""
    hidden = []
    allowed = ("/cli/", "commands", "verbs")
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden += [
                    f"{path.relative_to(ROOT)}:{inner.lineno}"
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Import | ast.ImportFrom)
                    and not any(a in str(path) for a in allowed)
                ]
    sdk = [h for h in hidden if h.startswith("sdk/")]
    assert [h for h in hidden if h not in sdk] == []
