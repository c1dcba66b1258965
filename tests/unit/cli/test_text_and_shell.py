"""What the terminal shows, and how fast the shell starts."""

import subprocess
import sys
from datetime import UTC, datetime

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.cli import run_text, text
from headway.cli.lazy import LazyVerb, add_lazily
from headway.cli.moments import instant
from headway.cli.sse import Frame, parse
from headway.cli.verbs.deploy import declaration, differences, isolation, slug
from headway.cli.verbs.run import parse_parameter

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [
        (None, "-"),
        (340, "340 µs"),
        (840_000, "840 ms"),
        (4_200_000, "4.2 s"),
        (252_000_000, "4 m 12 s"),
        (11_100_000_000, "3 h 05 m"),
        (187_200_000_000, "2 d 04 h"),
    ],
)
def test_durations(microseconds: int | None, shown: str) -> None:
    assert text.duration(microseconds) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (None, "-"),
        ("2026-11-22T11:59:59.500000Z", "now"),
        ("2026-11-22T11:59:00Z", "1 m 00 s ago"),
        ("2026-11-22T12:00:03Z", "in 3 s"),
        ("2026-11-20T12:00:00Z", "2026-11-20 12:00Z"),
    ],
)
def test_ages(at: str | None, shown: str) -> None:
    assert text.age(at, NOW) == shown


@given(st.text())
def test_nothing_that_a_flow_prints_steers_the_terminal(raw: str) -> None:
    shown = text.printable(raw)
    assert len(shown) == len(raw)
    assert not any((ord(c) < 32 and c != "\t") or c == "\x7f" for c in shown)


def test_ids_are_cut_to_what_tells_them_apart() -> None:
    ids = ["01a20452-6ffb-72fb-b082-523583cf6688", "01a20452-6ffb-72fc-b082-523583cf6688"]
    assert run_text.shorten(ids) == ["01a20452-6ffb-72fb", "01a20452-6ffb-72fc"]
    assert run_text.shorten(ids[:1]) == ["01a20452-6ffb"]
    assert run_text.shorten([]) == []


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        ("a=1", ("a", 1)),
        ("a=eu", ("a", "eu")),
        ('a="1"', ("a", "1")),
        ("a=", ("a", "")),
        ('a={"b": [true]}', ("a", {"b": [True]})),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test_parameters_are_json_where_they_can_be(given_: str, read: tuple) -> None:
    assert parse_parameter(given_) == read
    with pytest.raises(click.BadParameter):
        parse_parameter("nothing")


def test_frames_are_parsed_with_their_ids() -> None:
    lines = [
        "retry: 1000",
        "",
        ": still here",
        "id: 1:2",
        'data: {"a":',
        "data: 1}",
        "",
        "event: bookmark",
        "id: 1:5",
        'data: {"cursor":"1:5"}',
        "",
        'data: {"cut": "off"}',
    ]
    assert list(parse(iter(lines))) == [
        None,
        Frame("message", "1:2", {"a": 1}),
        Frame("bookmark", "1:5", {"cursor": "1:5"}),
    ]


def test_times_are_instants_or_ago() -> None:
    assert instant(None) is None
    assert instant("2026-11-22T08:00") == "2026-11-22T08:00:00+00:00"
    assert datetime.fromisoformat(instant("24h") or "") < datetime.fromisoformat(
        instant("1m") or ""
    )
    with pytest.raises(click.BadParameter):
        instant("yesterday")


def test_a_declaration_is_what_the_flow_says_and_where_it_runs() -> None:
    described = {
        "flow": "nightly etl!",
        "entrypoint": "a:b",
        "code_hash": "c",
        "parameter_schema": {},
        "parameter_defaults": {"x": 1},
        "description": "",
        "tags": ["a"],
        "retries": 1,
        "retry_delay_s": [0.5, 1],
        "on_lost": "retry",
        "cancel_grace_s": 0.0001,
    }
    body = declaration(described, name=None, pool="p", environment="e", tags=("b", "a"))
    assert (body["name"], body["retry_delay_ms"], body["tags"]) == ("nightly-etl", 500, ["a", "b"])
    assert body["cancel_grace_ms"] == 1  # 0 would be the agent's default
    standing = body | {"pool": {"name": "p"}, "retries": 2}
    assert differences(body, standing) == ["retries"]
    assert slug("...") == "flow"


def test_a_lazy_verb_is_loaded_when_it_is_used_and_not_for_help() -> None:
    from click.testing import CliRunner

    group = click.Group("headway")
    add_lazily(group, {"missing": LazyVerb("no.such.module:verb", "Does nothing.")})
    add_lazily(group, {"whoami": LazyVerb("headway.cli.verbs.login:whoami", "Shows you.")})
    runner = CliRunner()
    shown = runner.invoke(group, ["--help"])
    assert "Does nothing." in shown.output
    of_verb = runner.invoke(group, ["whoami", "--help"])
    assert "workspace and the key in use" in of_verb.output


def test_help_imports_nothing_that_only_verbs_need() -> None:
    """What is imported is what start-up costs; a clock would tell of the machine instead."""
    heavy = ("httpx", "rich", "tomli_w", "asyncio", "ssl", "headway.runtime")
    program = (
        "import sys\n"
        "import click\n"
        "from headway.cli.commands import register\n"
        "group = click.Group('headway'); register(group)\n"
        "group.get_help(click.Context(group))\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


NOTHING_SAID = {"isolation": None, "max_runs_per_process": None, "max_memory_mb": None}


def test_the_command_line_says_whether_runs_share_a_process_else_the_flow() -> None:
    of_the_flow = {"isolation": "reuse", "max_runs_per_process": 7, "max_memory_mb": None}
    assert isolation({}, NOTHING_SAID) == {"isolation": "process"}, "an older SDK"
    assert isolation(of_the_flow, NOTHING_SAID) == {
        "isolation": "reuse",
        "max_runs_per_process": 7,
        "max_memory_mb": 1_024,
    }
    assert isolation(of_the_flow, NOTHING_SAID | {"isolation": "process"}) == {
        "isolation": "process"
    }
    said = NOTHING_SAID | {"isolation": "reuse", "max_memory_mb": 64}
    assert isolation({}, said)["max_memory_mb"] == 64
    with pytest.raises(click.UsageError, match="--max-memory-mb is for"):
        isolation({}, NOTHING_SAID | {"max_memory_mb": 64})
