"""An Assign whose answers follow it: its attempt begins with all of them, and never with a part."""

import asyncio
from uuid import uuid4

from headway_agent.runner.api import Answer, AttemptKey
from headway_api.agent.v1 import agent_service_pb2 as wire
from support.agent_talk import runner, server
from support.agent_under_test import running_agent
from support.fake_control_plane import FakeControlPlane, ref
from support.fake_runner import FakeRunner

__all__ = ["runner", "server"]

CALLS = [bytes([n]) * 16 for n in range(1, 5)]
HERE = [Answer(CALLS[0].hex(), value="here"), Answer(CALLS[1].hex(), over=True)]


def told(attempt: tuple[str, int], call: bytes, value: bytes = b'"told"') -> wire.AttemptAnswer:
    return wire.AttemptAnswer(attempt=ref(attempt), answer=wire.Answer(call=call, value=value))


def grant(server: FakeControlPlane, attempt: tuple[str, int], follow: int) -> None:
    inside = [
        wire.Answer(call=CALLS[0], value=b'"here"'),
        wire.Answer(call=CALLS[1], over=True),
    ]
    server.assign(attempt, answers=inside, answers_follow=follow)


async def test_an_attempt_begins_when_its_last_answer_is_there(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt, other = (str(uuid4()), 1), (str(uuid4()), 1)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        grant(server, attempt, 2)
        server.stream.send(answer=told(attempt, CALLS[2]))
        server.assign(other)  # comes later, and waits for nobody
        await runner.until(lambda: runner.started)
        assert [tuple(each.key) for each in runner.started] == [other]
        server.stream.send(answer=told(attempt, CALLS[3]))
        await runner.until(lambda: len(runner.started) == 2)
    follow = [Answer(call.hex(), value="told") for call in CALLS[2:]]
    assert (tuple(runner.started[1].key), list(runner.started[1].answers)) == (
        attempt,
        HERE + follow,
    )
    assert runner.answers == []


async def test_of_a_stream_that_ends_between_them_nothing_counts(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        grant(server, attempt, 2)
        server.stream.send(answer=told(attempt, CALLS[2], b'"of the first stream"'))
        server.stream.cut()
        await server.until(lambda: len(server.streams) == 2)
        assert runner.started == []
        grant(server, attempt, 1)
        server.stream.send(answer=told(attempt, CALLS[3]))
        await runner.until(lambda: runner.started)
    assert list(runner.started[0].answers) == [*HERE, Answer(CALLS[3].hex(), value="told")]


async def test_an_answer_behind_an_assign_is_kept_once_its_attempt_is_there(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    """It is told once on a stream, and the runner knows no attempt yet of which it could keep one."""
    attempt = (str(uuid4()), 1)
    kept: list[bool] = []
    news = asyncio.Event()
    keep = runner.keep_answer

    def noticing(key: AttemptKey, answer: Answer) -> None:
        kept.append(any(each.key == key for each in runner.started))
        keep(key, answer)
        news.set()

    runner.keep_answer = noticing  # type: ignore[method-assign]
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        server.assign(attempt)
        server.stream.send(answer=told(attempt, CALLS[2]))
        for last in (False, True):
            async with asyncio.timeout(15):
                await news.wait()
            news.clear()
            if not last:
                server.stream.send(answer=told(attempt, CALLS[3]))
    assert kept == [True, True]
    assert [answer.call for _, answer in runner.answers] == [call.hex() for call in CALLS[2:]]
