"""One process of a part, from its start to its end."""

import asyncio
import os
import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Self

from headway_control_plane.main.launch import Launch
from headway_control_plane.main.supervision import Manner

_LOG_LIMIT = 8 * 1024 * 1024


class PartProcess:
    """A running process and our ends of its two pipes. `start` makes one, `wait` collects it."""

    def __init__(
        self, launch: Launch, process: asyncio.subprocess.Process, ours: "OurEnds"
    ) -> None:
        self._launch = launch
        self._process = process
        self._ours = ours

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start the process in a session of its own, so that Ctrl-C in our terminal reaches us alone."""
        ours = OurEnds()
        with ExitStack() as unless_started, ExitStack() as theirs:
            unless_started.callback(ours.close)
            lifeline = theirs.enter_context(ours.open_lifeline())
            ready = theirs.enter_context(ours.open_ready())
            log = theirs.enter_context(_open_log(launch.log))
            process = await asyncio.create_subprocess_exec(
                *launch.command(lifeline.fileno(), ready.fileno()),
                stdin=lifeline if launch.lifeline_is_stdin else asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=launch.environment,
                pass_fds=() if launch.lifeline_is_stdin else (lifeline.fileno(), ready.fileno()),
                start_new_session=True,
            )
            unless_started.pop_all()
        return cls(launch, process, ours)

    async def wait_ready(self) -> bool:
        """Wait until the process serves; False when it will not say so any more."""
        if self._launch.is_ready is None:
            return await self._ours.read_ready()
        while not await self._launch.is_ready():  # noqa: ASYNC110  # in another process, which tells only when asked
            await asyncio.sleep(self._launch.ask_every)
        return True

    def stop(self, manner: Manner) -> None:
        """Tell the process to stop; it has stopped when `wait` returns."""
        if manner is Manner.DRAIN:
            self._ours.drop_lifeline()
            return
        number = signal.SIGTERM if manner is Manner.TERMINATE else self._launch.kill_signal
        with suppress(ProcessLookupError):  # it ended by itself
            self._process.send_signal(number)

    async def wait(self) -> str:
        """Wait for the process's end and say how it ended."""
        code = await self._process.wait()
        self._ours.close()
        return (
            f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        )


class OurEnds:
    """Our ends of the two pipes. Neither is inherited by any child, so that the kernel closes both when we die."""

    def __init__(self) -> None:
        self._lifeline: IO[bytes] | None = None
        self._ready: IO[bytes] | None = None

    def open_lifeline(self) -> IO[bytes]:
        """Make the lifeline and return the process's end of it."""
        theirs, ours = os.pipe()
        self._lifeline = os.fdopen(ours, "wb", buffering=0)
        return os.fdopen(theirs, "rb", buffering=0)

    def open_ready(self) -> IO[bytes]:
        """Make the pipe for the line that says "ready" and return the process's end of it."""
        ours, theirs = os.pipe()
        self._ready = os.fdopen(ours, "rb", buffering=0)
        return os.fdopen(theirs, "wb", buffering=0)

    def drop_lifeline(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()

    async def read_ready(self) -> bool:
        """Wait for the line; False when the process closed its end without one."""
        assert self._ready is not None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._ready
        )
        try:
            return bool(await reader.readline())
        finally:
            transport.close()

    def close(self) -> None:
        for end in (self._lifeline, self._ready):
            if end is not None:
                end.close()


def _open_log(path: Path) -> IO[bytes]:
    """Open a part's log for a start; a large one is set aside first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _signal_name(number: int) -> str:
    with suppress(ValueError):  # a signal that Python has no name for
        return signal.Signals(number).name
    return f"signal {number}"
