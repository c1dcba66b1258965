import pytest

from headway_control_plane.db.queries import BrokenQueryFile, parse_queries

FILE = """-- Statements of the test. Everything above the first name is for readers.

-- name: first
-- Say one.
SELECT 1;

-- name: second
-- Say two
-- on two lines.
SELECT 2,
  %s
"""


def test_statements_are_found_by_name() -> None:
    queries = parse_queries(FILE, source="test.sql")

    assert queries == {"first": "SELECT 1;", "second": "-- on two lines.\nSELECT 2,\n  %s"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- name: a\nSELECT 1", "a has no purpose line"),
        ("-- name: a\n-- Why.\n", "a has no statement"),
        (
            "-- name: a\n-- Why.\nSELECT 1\n-- name: a\n-- Why.\nSELECT 2",
            "the name a is used twice",
        ),
    ],
)
def test_a_file_that_breaks_the_format_is_refused(text: str, problem: str) -> None:
    with pytest.raises(BrokenQueryFile, match=problem):
        parse_queries(text, source="test.sql")
