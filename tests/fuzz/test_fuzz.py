"""The fuzzers, as far as a test run has time for them: all that was ever found, and a short run of each from a fixed seed.

`make fuzz` runs them for longer, from a new seed.
"""

from __future__ import annotations

import pytest

from fuzz import corpus
from fuzz.harness import Finding, Limits, Target, fuzz, replay
from fuzz.rest import RestFuzzer
from fuzz.targets import TARGETS

pytestmark = [pytest.mark.timeout(180)]

SEED = 1
# As many as take two or three seconds where nothing else runs.
EXECUTIONS = {
    "frames": 150,
    "frames_log": 300,
    "codec": 6_000,
    "agent_stream": 15,
    "hostile_control": 25,
    "ranges": 1_500,
}
ON_A_DATABASE = {"agent_stream"}


def kept():
    for name in TARGETS:
        for entry in corpus.load(name):
            yield pytest.param(name, entry, id=f"{name}-{entry.path.stem}")


@pytest.mark.parametrize(("name", "entry"), [*kept()])
async def test_what_was_found_once_is_not_found_again(name, entry, request):
    await replay(made(name, request), entry.script)


def made(name, request):
    """The target, on a database if it needs one."""
    return TARGETS[name](request.getfixturevalue("database").url if name in ON_A_DATABASE else "")


@pytest.mark.parametrize("name", EXECUTIONS)
async def test_a_short_run_finds_nothing(name, request):
    limits = Limits(executions=EXECUTIONS[name])
    report = await fuzz(made(name, request), SEED, limits, keep=False)
    assert not report.findings, report
    assert report.executions == EXECUTIONS[name]
    assert len(report.answers) > 3, "it must reach more than the first check"


@pytest.mark.postgres
async def test_a_short_run_of_requests_of_two_workspaces_finds_nothing(database):
    report = await RestFuzzer(database.url).fuzz(SEED, Limits(executions=30))
    assert not report.findings, report
    assert {status for _, status in report.answers} & {200, 201}
    assert len({operation for operation, _ in report.answers}) > 10


class Divides(Target):
    """A target that is broken on purpose."""

    name = "divides"

    def seeds(self):
        return [(b"aaaa", b"bbbbbbbb")]

    def mutate(self, random, script):
        return (*script[:-1], script[-1] + bytes([random.randrange(4)]))

    async def execute(self, script):
        if b"\x03" in script[-1]:
            raise Finding("three")
        return len(script[-1]) > 20


async def test_a_finding_is_made_small_kept_and_replayed(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "CORPUS", tmp_path)
    report = await fuzz(Divides(), SEED, Limits(executions=50))
    assert "three" in str(report)
    assert "1 FOUND" in str(report)
    (entry,) = corpus.load("divides")
    assert entry.why == "three"
    assert entry.script == (b"\x03",)
    with pytest.raises(Finding):
        await replay(Divides(), entry.script)


async def test_a_seed_determines_all_that_is_executed():
    def told(report):
        return report.executions, report.new_entries, sorted(map(repr, report.answers))

    runs = [await fuzz(TARGETS["codec"](), 7, Limits(executions=300), keep=False) for _ in range(2)]
    assert told(runs[0]) == told(runs[1])


def test_the_corpus_keeps_every_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "CORPUS", tmp_path)
    script = (bytes(range(256)), b"", b"[" * 500_000 + b'"\\\n' + b"\xff" * 40)
    corpus.save("bytes", "why", script)
    (entry,) = corpus.load("bytes")
    assert entry.script == script
    assert entry.path.stat().st_size < 4_096
