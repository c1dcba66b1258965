"""The agent's loops over a real socket, with a runner made by hand or the real one."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from headway_agent.clock import SystemClock
from headway_agent.connection.channel import Target, parse_target
from headway_agent.connection.enrol import enrol
from headway_agent.connection.identity import Assertions
from headway_agent.connection.messages import Introduction, Witness
from headway_agent.connection.stream import GrpcStream
from headway_agent.connection.tap import Tap
from headway_agent.core import session
from headway_agent.core.backoff import Policy
from headway_agent.core.session import Phase, Rules
from headway_agent.loops.attempts_loop import AttemptsLoop
from headway_agent.loops.hub import Hub
from headway_agent.loops.log_loop import LogLoop
from headway_agent.loops.record_loop import RecordLoop
from headway_agent.loops.renew_loop import RenewLoop
from headway_agent.loops.report_loop import ReportLoop
from headway_agent.loops.session_loop import SessionLoop
from headway_agent.loops.supervisor import Loop, supervise
from headway_agent.loops.watch_loop import WatchLoop
from support.fake_control_plane import TOKEN, FakeControlPlane

QUICK = Policy(first=0.02, cap=0.2, healthy_after=60)


class SkewedClock(SystemClock):
    """A machine whose wall clock is wrong."""

    def __init__(self, skew_us: int = 0) -> None:
        self.skew_us = skew_us

    def now_us(self) -> int:
        return super().now_us() + self.skew_us


@dataclass
class KeptWitnesses:
    seen: list[Witness] = field(default_factory=list)

    async def keep(self, witness: Witness) -> None:
        self.seen.append(witness)

    async def last(self) -> Witness | None:
        return self.seen[-1] if self.seen else None


@dataclass
class Running:
    hub: Hub
    task: asyncio.Task[None]
    witnesses: KeptWitnesses

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        """Looks whenever something was told to the session's core."""
        stepped = asyncio.Event()
        self.hub.after_step = stepped.set
        async with asyncio.timeout(seconds):
            while not condition():
                stepped.clear()
                await stepped.wait()

    async def opened(self) -> None:
        await self.until(lambda: self.hub.session.phase is Phase.OPEN)

    async def drain(self, *, wait: bool = False) -> None:
        self.hub.tell_session(session.DrainAsked(wait))
        await self.task


@contextlib.asynccontextmanager
async def running_agent(
    address: FakeControlPlane | str,
    runner: Any,
    *,
    slots: int = 4,
    clock: SystemClock | None = None,
    tap: Path | None = None,
    host: str = "secret-host",
    target: Target | None = None,
    token: str = TOKEN,
) -> AsyncIterator[Running]:
    clock = clock or SystemClock()
    address = address if isinstance(address, str) else address.address
    target = target or parse_target(address)
    identity = await enrol(target, token, "")
    assertions = Assertions(identity, clock.now_us, lambda: str(uuid4()))
    who = Introduction(uuid4(), "0.1.0", host)
    hub = Hub(Rules(slots, policy=QUICK), who, runner, clock, random.Random(7))
    witnesses = KeptWitnesses()
    with contextlib.ExitStack() as stack:
        outbound = stack.enter_context(Tap(tap, clock.now_us)) if tap else None

        def opened() -> GrpcStream:
            return GrpcStream(target, assertions, outbound)

        loops = [
            Loop("renew", RenewLoop(hub).run),
            Loop("record", RecordLoop(hub, witnesses).run),
            Loop(
                "session", SessionLoop(hub, opened, assertions, witnesses, uuid4).run, may_end=True
            ),
            Loop("attempts", AttemptsLoop(hub).run),
            Loop("watch", WatchLoop(hub).run),
            Loop("report", ReportLoop(hub).run),
            Loop("log", LogLoop(hub).run),
        ]
        task = asyncio.create_task(supervise(loops))
        try:
            yield Running(hub, task, witnesses)
        finally:
            if not task.done():
                hub.tell_session(session.StopAsked())
            await asyncio.wait({task}, timeout=10)
            assert task.done()
            with contextlib.suppress(asyncio.CancelledError):
                if (error := task.exception()) is not None:
                    raise error
