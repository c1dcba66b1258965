"""The filter of `--filter`, and the plan of a big run as `headway runs plan` prints it."""

from typing import Any

import click
import pytest

from headway.cli.verbs.bulk import read_filter
from headway.cli.verbs.forks import _leaves_out, _lines


@pytest.mark.parametrize(
    ("text", "looked_for"),
    [
        ("nightly", "nightly"),
        ('"etl:daily" x', "etl:daily x"),
        ("'stat:running'", "stat:running"),
        ("text:etl:daily", "etl:daily"),
        (r"two\ words tag:a", "two words"),
        ('"" tag:a', None),
    ],
)
def test_words_without_a_colon_and_quoted_ones_are_text(text: str, looked_for: str | None) -> None:
    assert read_filter(text, "cancel")["q"] == looked_for


def test_a_value_in_quotes_belongs_to_its_key() -> None:
    read = read_filter('flow:"a b" tag:\'c d\' "e: f"', "cancel")
    assert (read["flow"], read["tag"], read["q"]) == ("a b", ["c d"], "e: f")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stat:running", r"Did you mean state:\? There are deployment:, flow:, since:"),
        ("xyz:1", "no filter. There are"),
        ("state:runing", r"runing is no state. Did you mean running\?"),
        ("state:completed", "cannot be cancelled"),
        ("tag:", "names nothing"),
        ('"open', "quotation"),
    ],
)
def test_what_is_misspelt_is_refused(text: str, told: str) -> None:
    with pytest.raises(click.BadParameter, match=told):
        read_filter(text, "cancel")


def part(**names: int) -> dict[str, Any]:
    """A list of the plan with so many completed calls of each name."""
    every = [name for name, total in names.items() for _ in range(total)]
    calls = [
        {"call": f"{n:032x}"[::-1], "name": name, "status": "completed"}
        for n, name in enumerate(every)
    ]
    groups = [
        {
            "call": calls[every.index(name)]["call"],
            "name": name,
            "status": "completed",
            "total": total,
        }
        for name, total in names.items()
    ]
    return {"total": len(calls), "calls": calls[:1000], "groups": groups}


def test_ten_thousand_kept_calls_are_two_lines() -> None:
    plan = {"executes": part(publish=1), "may": part(), "keeps": part(load=10_000, sum=1)}
    assert list(_lines(plan, keys=True, most=100, single=False)) == [
        "1 will execute:",
        "  000000000000  publish  completed",
        "10,001 are kept and not executed:",
        "                load x 10,000  completed",
        "  017200000000  sum            completed",
    ]
    assert _leaves_out(plan, 100)


def test_what_executes_is_listed_up_to_a_limit() -> None:
    plan = {"executes": part(load=1_500), "may": part(), "keeps": part(sum=1)}
    lines = list(_lines(plan, keys=False, most=100, single=False))
    assert (len(lines), lines[1], lines[101]) == (104, "  load  completed", "  ... and 1,400 more")
    assert lines[102:] == ["1 is kept and not executed:", "  sum  completed"]
    assert _leaves_out(plan, 100)


def test_a_small_plan_leaves_nothing_out() -> None:
    plan = {"executes": part(a=2), "may": part(), "keeps": part(b=1)}
    assert not _leaves_out(plan, 100)
    older = {name: {"total": 0, "calls": []} for name in ("executes", "may", "keeps")}
    older["keeps"] = {"total": 1, "calls": part(b=1)["calls"]}
    assert list(_lines(older, keys=True, most=100, single=False))[1].endswith("b  completed")
