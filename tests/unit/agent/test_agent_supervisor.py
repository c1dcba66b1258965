import asyncio
import subprocess
import sys

import pytest

from headway_agent.loops.outbox import Outbox
from headway_agent.loops.supervisor import Loop, LoopEnded, supervise
from headway_api.agent.v1 import agent_service_pb2 as wire


def renew(number: int) -> wire.SessionRequest:
    return wire.SessionRequest(renew=wire.Renew(id=number))


async def test_loops_end_in_reverse_when_one_may_end() -> None:
    ended: list[str] = []

    def loop(name: str) -> Loop:
        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return Loop(name, run)

    async def done() -> None:
        await asyncio.sleep(0)

    await supervise(
        [loop("renew"), loop("record"), Loop("session", done, may_end=True), loop("log")]
    )
    assert ended == ["log", "record", "renew"]


async def test_a_loop_that_dies_ends_all_with_its_error() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def dies() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await supervise([Loop("a", forever), Loop("b", dies), Loop("c", forever)])


async def test_a_loop_that_just_returns_is_an_error_too() -> None:
    async def returns() -> None:
        return

    with pytest.raises(LoopEnded):
        await supervise([Loop("a", returns)])


async def test_urgent_words_go_first_and_nothing_follows_the_last() -> None:
    outbox = Outbox()
    outbox.put(wire.SessionRequest(facts=wire.FactBatch(id=1)))
    outbox.put_urgent(renew(1))
    first = await outbox.next()
    assert first is not None
    assert first.HasField("renew")
    outbox.put_urgent(renew(2))
    outbox.end()
    outbox.put_urgent(renew(3))
    outbox.put(renew(4))
    assert await outbox.next() == renew(2)
    assert await outbox.next() is None


def test_the_shell_loads_no_wire_code() -> None:
    code = (
        "import sys, headway_agent.commands; "
        "print(sorted(m for m in ('grpc', 'google.protobuf', 'cryptography', 'zstandard', 'uvloop') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
