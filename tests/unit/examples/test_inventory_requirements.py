"""The inventory example reads requirement strings as installers do, as far as it needs to."""

import sys
from pathlib import Path

import pytest

import headway_control_plane

EXAMPLES = Path(headway_control_plane.__file__).parent / "examples"


@pytest.fixture(autouse=True)
def _examples_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [n for n in sys.modules if n.split(".")[0] == "inventory"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("version", "specifiers", "met"),
    [
        ("1.10.0", ">=1.9,<2", True),
        ("1.9", ">=1.10", False),
        ("2.0", "==2.0.0", True),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("1.5", "~=1.4", True),
        ("3.1.7", "==3.1.*", True),
        ("3.2", "!=3.2.*", False),
        ("1.0", "", True),
        ("1.0", "something new", True),
    ],
)
def test_versions_are_compared_by_numbers(version, specifiers, met):
    from inventory.requirements import satisfies

    assert satisfies(version, specifiers) is met


def dist(name, *requires, version="1.0"):
    return {
        "name": name, "version": version, "licence": "", "summary": "", "requires": list(requires), "entry_points": [], "files": 0, "size": 0,
    }  # fmt: skip


def test_unmet_requirements_name_who_needs_what():
    from inventory.requirements import resolve

    found = resolve(
        [dist("a", "B>=2", "missing"), dist("b", "c; extra == 'x'", "d; python_version < '3'")]
    )

    assert found["unmet"] == ["a needs b>=2, found 1.0", "a needs missing, not installed"]
    assert found["edges"] == {"a": ["b"], "b": []}


def test_cycles_are_found_without_recursion():
    from inventory.requirements import cycles

    ring = {str(i): [str((i + 1) % 3000)] for i in range(3000)}
    assert len(cycles(ring)[0]) == 3000
    assert cycles({"a": ["b"], "b": ["a", "c"], "c": [], "d": ["d"]}) == [["a", "b"], ["d"]]


def test_a_file_changed_after_its_installation_is_seen(tmp_path):
    from inventory.distributions import hash_files

    (tmp_path / "f").write_bytes(b"changed")
    found = hash_files([(str(tmp_path / "f"), "recorded-otherwise"), (str(tmp_path / "gone"), "")])

    assert found["changed"] == [str(tmp_path / "f")]
    assert found["missing"] == [str(tmp_path / "gone")]
    assert (found["files"], found["size"]) == (1, 7)
