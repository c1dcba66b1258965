"""The plan of a big run as `headway runs plan` prints it."""

from typing import Any

from headway.cli.verbs.forks import _leaves_out, _lines


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
