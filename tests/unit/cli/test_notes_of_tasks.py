"""What `headway runs tasks` notes beside a call."""

from datetime import UTC, datetime

from headway.cli.verbs.tasks import _row

AT = "2026-11-23T06:00:00Z"


def note(**changes) -> str:
    call = {
        "call": "ab" * 16, "status": "completed", "run_name": "", "name": "load", "calls": 1, "started_at": AT,
        "ended_at": AT, "median_us": None, "longest_us": None, "error_class": "", "tries": 1, "result": None,
    }  # fmt: skip
    return str(_row({**call, **changes}, datetime(2026, 11, 23, 7, tzinfo=UTC))[-1])


def test_a_range_tells_what_its_calls_took():
    assert note(calls=100, median_us=2_000, longest_us=3_000_000) == "each p50 2 ms, max 3.0 s"


def test_what_was_not_executed_says_why_and_no_length():
    kept = "kept from an earlier attempt or run"
    assert note(status="skipped", tries=0, calls=100) == kept
    assert note(status="skipped", tries=0, result={"codec": "json"}) == kept
    assert note(status="skipped", result={"from": "cached"}) == "from the cache"
    assert note(status="skipped", result={"from": "target"}) == "what it makes is there"


def test_a_failed_call_names_its_error_and_tries():
    assert note(status="failed", error_class="ValueError", tries=3) == "ValueError, 3 tries"
