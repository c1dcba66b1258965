"""What a run that is watched without a terminal says."""

from typing import Any

from headway.cli import run_text
from headway.cli.plain import Narrator
from headway.cli.progress import Progress

AT = "2026-11-22T12:00:{:06.3f}Z"


def event(type_: str, second: float = 0.0, **data: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "occurred_at": AT.format(second),
        "stream": "attempt/0199/1",
        "data": data,
    }


def call(type_: str, number: int, name: str = "load", **data: Any) -> dict[str, Any]:
    return event(type_, number / 1000, call=str(number), kind="task", name=name, **data)


def sums(total: int = 0, completed: int = 0, failed: int = 0) -> dict[str, int]:
    return {"total": total, "completed": completed, "skipped": 0, "failed": failed}


def snapshot(
    *events: dict[str, Any], lines: tuple[str, ...] = (), state: str = "running", **more: int
) -> Progress:
    run = {"state": state, "tasks": sums(**more)}
    told = [{"at": AT.format(1), "level": "", "text": text} for text in lines]
    return Progress(run, new_events=list(events), new_lines=told)


def say(narrator: Narrator, *shots: tuple[float, Progress]) -> list[str]:
    return [line for now, shot in shots for line in narrator.lines(shot, now)]


def test_ten_thousand_tasks_are_a_handful_of_lines() -> None:
    narrator = Narrator(from_the_start=True)
    started = snapshot(event("AttemptStarting"), event("AttemptStarted"))
    shots = [(0.0, started)]
    for look in range(100):
        ended = [call("CallEnded", look * 100 + n, outcome="completed") for n in range(100)]
        shots.append((look / 20, snapshot(*ended)))
    said = say(narrator, *shots)
    assert said[0].endswith("* started (attempt 1)")
    assert len(said) == 6
    assert said[-1].strip() == "load 8100/8100 · 8100/8100 tasks"


def test_open_calls_count_and_a_new_attempt_counts_anew() -> None:
    narrator = Narrator(from_the_start=True)
    first = snapshot(
        event("AttemptStarting"), call("CallStarted", 1), call("CallStarted", 2, "store")
    )
    said = say(narrator, (0.0, first), (2.0, snapshot(call("CallEnded", 1, outcome="failed"))))
    assert [line.strip() for line in said if "·" in line] == [
        "store 0/1 · 0/2 tasks",
        "load 1/1 · 1/2 tasks, 1 failed",
    ]
    again = snapshot(event("AttemptStarting"), call("CallStarted", 3))
    assert say(narrator, (4.0, again)) == [f"{' ' * 12} load 0/1 · 0/1 tasks"]


def test_failures_are_told_one_by_one_up_to_a_number() -> None:
    narrator = Narrator(from_the_start=True)
    retried = call(
        "CallRetrying", 1, **{"try": 1}, delay_us=200_000, error={"error_class": "OSError"}
    )
    lost = [call("CallEnded", n, outcome="failed", error={}) for n in range(2, 30)]
    said = say(narrator, (0.0, snapshot(retried, *lost, state="failed")))
    assert said[0].endswith("* task load failed its try 1: OSError; tries again in 200 ms")
    assert said[1].endswith("* task load failed: an error")
    assert len(said) == 11
    assert said[-1] == "… and 19 more failures like these"


def test_lines_wait_for_the_start_that_is_heard_a_moment_later() -> None:
    narrator = Narrator(from_the_start=True)
    assert say(narrator, (0.0, snapshot(lines=("hello",)))) == []
    said = say(narrator, (0.1, snapshot(event("AttemptStarting"), event("AttemptStarted"))))
    assert [line.split(" ", 1)[1] for line in said] == ["* started (attempt 1)", "hello"]


def test_who_comes_later_counts_by_the_sums_of_the_run() -> None:
    narrator = Narrator(from_the_start=False)
    late = snapshot(call("CallEnded", 1, outcome="completed"), total=9, completed=4, failed=1)
    assert say(narrator, (0.0, late)) == [f"{' ' * 12} 4/9 tasks, 1 failed"]


def test_a_failed_run_names_its_error() -> None:
    narrator = Narrator(from_the_start=True)
    failed = event("RunFailed", cause="error", error_class="ValueError")
    [line] = say(narrator, (0.0, snapshot(failed, state="failed")))
    assert line.endswith("* failed: ValueError")


def test_the_end_says_how_long_why_and_how_many() -> None:
    ended = {
        "state": "failed",
        "started_at": AT.format(0),
        "duration_us": 1_500_000,
        "reason_text": "ValueError",
        "tasks": sums(total=9, completed=8, failed=1),
    }
    assert run_text.verdict(ended) == "failed after 1.5 s: ValueError · 8/9 tasks, 1 failed"
    refused = ended | {"started_at": None, "reason_text": "refused", "tasks": sums()}
    assert run_text.verdict(refused) == "failed: refused"
    assert run_text.result_lines({"result": {"preview": "30", "digest": "d"}}) == ["returned 30"]
    assert run_text.result_lines({"result": {"preview": "null", "digest": "d"}}) == []
    assert run_text.result_lines({"result": None}) == []
