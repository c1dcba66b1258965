import pytest

from headway_control_plane.application.ports import START, BadCursor, Cursor


def test_a_cursor_is_read_as_it_is_written():
    assert Cursor.parse(str(Cursor(3, 12))) == Cursor(3, 12)
    assert str(START) == "0:0"
    assert Cursor(1, 9) < Cursor(1, 10) < Cursor(2, 0)


@pytest.mark.parametrize(
    "text", ["", ":", "1", "1:", ":1", "1:-1", "+1:1", " 1:1", "1:1:1", "1_0:1", "\u0661:1", "a:b", "1" * 30 + ":" + "1" * 30]
)  # fmt: skip
def test_anything_else_is_a_typed_error(text):
    with pytest.raises(BadCursor):
        Cursor.parse(text)
