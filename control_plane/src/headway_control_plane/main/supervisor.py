"""Carries out what `supervision.step` decides: starts, watches and stops the processes of the parts."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from headway_control_plane.clock import Clock
from headway_control_plane.main import supervision
from headway_control_plane.main.launch import CannotPrepare, Part
from headway_control_plane.main.part_process import PartProcess
from headway_control_plane.main.supervision import (
    AllReady,
    BecameReady,
    Died,
    Effect,
    Finish,
    Input,
    Interrupted,
    Manner,
    Patience,
    Start,
    Stop,
    Tell,
    Tick,
)


class Supervisor:
    """Runs the parts until it is interrupted, or one of them cannot be started at all."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        clock: Clock,
        tell: Callable[[str, str], None],
        on_ready: Callable[[], None],
        patience: Patience | None = None,
    ) -> None:
        self._parts = {part.name: part for part in parts}
        self._state = supervision.begin(tuple(self._parts), patience)
        self._clock = clock
        self._tell = tell
        self._on_ready = on_ready
        self._inbox: asyncio.Queue[Input] = asyncio.Queue()
        self._lives: dict[str, _Life] = {}
        self._exit_code: int | None = None

    def interrupt(self) -> None:
        """Drain; the second time, stop now. For signal handlers of the event loop."""
        self._inbox.put_nowait(Interrupted())

    async def run(self) -> int:
        """Return the exit code once every part is gone."""
        async with asyncio.TaskGroup() as tasks:
            self._take(Tick(), tasks)
            while self._exit_code is None:
                self._take(await self._next_input(), tasks)
        return self._exit_code

    async def _next_input(self) -> Input:
        deadline = supervision.next_deadline(self._state)
        timeout = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
        try:
            return await asyncio.wait_for(self._inbox.get(), timeout)
        except TimeoutError:
            return Tick()

    def _take(self, arrived: Input, tasks: asyncio.TaskGroup) -> None:
        self._state, effects = supervision.step(self._state, self._clock.monotonic(), arrived)
        for effect in effects:
            self._carry_out(effect, tasks)

    def _carry_out(self, effect: Effect, tasks: asyncio.TaskGroup) -> None:
        match effect:
            case Start(name):
                self._lives[name] = _Life(self._parts[name], self._inbox.put_nowait)
                tasks.create_task(self._lives[name].run())
            case Stop(name, manner):
                self._lives[name].stop(manner)
            case Tell(name, news):
                self._tell(name, news)
            case AllReady():
                self._on_ready()
            case Finish(code):
                self._exit_code = code


class _Life:
    """One life of a part: prepared, started, ready, ended. Reports BecameReady at most once and Died exactly once."""

    def __init__(self, part: Part, report: Callable[[Input], None]) -> None:
        self._part = part
        self._report = report
        self._process: PartProcess | None = None
        self._stop_asked = asyncio.Event()

    def stop(self, manner: Manner) -> None:
        self._stop_asked.set()
        if self._process is not None:
            self._process.stop(manner)

    async def run(self) -> None:
        self._report(Died(self._part.name, await self._live()))

    async def _live(self) -> str:
        try:
            launch = await self._part.prepare()
            if self._stop_asked.is_set():
                return "was not started"
            self._process = process = await PartProcess.start(launch)
        except (CannotPrepare, OSError) as error:
            return f"cannot be started: {error}"
        if self._stop_asked.is_set():
            process.stop(Manner.DRAIN)
        return await self._watch(process)

    async def _watch(self, process: PartProcess) -> str:
        readiness = asyncio.create_task(self._announce(process))
        try:
            return await process.wait()
        finally:
            readiness.cancel()
            with suppress(asyncio.CancelledError):  # ours, from the line above
                await readiness

    async def _announce(self, process: PartProcess) -> None:
        if await process.wait_ready():
            await self._part.settle()
            self._report(BecameReady(self._part.name))
