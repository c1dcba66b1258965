"""Names that flows choose - keys of artifacts, metrics, units, classes of errors - steer no terminal, whatever verb shows them."""

import json

import pytest

from headway.cli import output, run_text
from headway.cli.output import State

pytestmark = pytest.mark.usefixtures("at_terminal")
HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\x7f"


def is_harmless(shown: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in shown)


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def at_terminal(request, monkeypatch) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: request.param)


def test_a_cell_of_a_table_steers_no_terminal(capsys) -> None:
    output.print_table(("key", HOSTILE), [[HOSTILE, "x"]], empty="")
    assert is_harmless(capsys.readouterr().out)


def test_a_field_steers_no_terminal(capsys) -> None:
    output.print_fields([("key", HOSTILE), ("lines", "one\ntwo")])
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert "one\ntwo" in shown
    output.print_fields([("state", State("failed"))])
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize("print_", [output.print_json, output.print_json_line])
def test_json_is_the_same_value_and_steers_no_terminal(print_, capsys) -> None:
    value = {HOSTILE: [HOSTILE, "é 😀 日本", "\U000e0041\u00a0"]}
    print_(value)
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert json.loads(shown) == value
    assert "é 😀 日本" in shown


def test_an_error_steers_no_terminal() -> None:
    frame = {"file": HOSTILE, "line": 3, "function": HOSTILE, "code": HOSTILE, "user": True}
    error = {"class": HOSTILE, "message": HOSTILE, "traceback": [frame]}
    assert all(map(is_harmless, run_text.error_lines(error)))
