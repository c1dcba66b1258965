"""The agent's side of template processes: one per interpreter and environment, started when first needed."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway_agent.clock import Clock
from headway_agent.runner.environments import Environment, EnvironmentRefused, Refused
from headway_agent.runner.framing import pack, receive
from headway_agent.runner.processes import ProcessId
from headway_agent.runner.secrets import PREFIX as SECRET_PREFIX

PROTOCOL = 2
PROTOCOL_MIN = 1
READY_WITHIN = 60.0
SPAWN_WITHIN = 60.0
END_WITHIN = 5.0
BACKOFF = (0.0, 0.2, 1.0, 5.0)
_MOST_COMPLAINT = 2_000


class ProtocolRefused(Refused):
    """The SDK of the environment and this agent have no protocol in common."""

    cause = "protocol refused"


class SpawnRefused(Exception):
    """The template answered `refused`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TemplateLost(Exception):
    """The template died; whether it still forked is for the attempt's files to say."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a template is made for. When one of these changes, the next attempt gets a new template.

    `version` is that of environments.toml: a deployment may have brought new packages.
    """

    environment: Environment
    env: Mapping[str, str]
    version: int


@dataclass(frozen=True, slots=True)
class Options:
    """How templates are started. `arguments` is for tests."""

    log_dir: Path
    arguments: tuple[str, ...] = ()
    backoff: tuple[float, ...] = BACKOFF


class Templates:
    """All templates of this agent."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._slots: dict[str, _Slot] = {}

    async def of(self, kind: Kind) -> "Template":
        """The one for attempts of this kind, started if need be. Raises Refused or TemplateLost."""
        slot = self._slots.setdefault(kind.environment.name, _Slot(self._options, self._clock))
        return await slot.template(kind)

    async def close(self) -> None:
        """Ends them all. Supervisors live on."""
        await asyncio.gather(*(slot.close() for slot in self._slots.values()))


class _Slot:
    """The place of one template: starts it again when it died, later each time that fails."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._template: Template | None = None
        self._kind: Kind | None = None
        self._failures = 0
        self._failed_at = 0.0
        self._lock = asyncio.Lock()

    async def template(self, kind: Kind) -> "Template":
        async with self._lock:
            present = self._template
            if (
                present is not None
                and present.alive
                and self._kind == kind
                and not present.outdated
            ):
                return present
            await self._end()
            await self._wait_after_failure()
            try:
                self._template = await Template.start(kind, self._options)
            except Refused:
                self._failures += 1
                self._failed_at = self._clock.monotonic()
                raise
            self._kind = kind
            self._failures = 0
            return self._template

    async def close(self) -> None:
        async with self._lock:
            await self._end()

    async def _end(self) -> None:
        template, self._template = self._template, None
        if template is not None:
            await template.close()

    async def _wait_after_failure(self) -> None:
        backoff = self._options.backoff
        delay = backoff[min(self._failures, len(backoff) - 1)]
        left = self._failed_at + delay - self._clock.monotonic()
        if self._failures and left > 0:
            await asyncio.sleep(left)


class Template:
    """One template process that has said it is ready."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket) -> None:
        self._process = process
        self._sock = sock
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self.alive = True
        self.ready: dict[str, Any] = {}
        self._made_from: _Stamp = None

    @property
    def outdated(self) -> bool:
        """Another version of the SDK was installed since. Its flows would import half of the one, half of the other."""
        now = _stamp(self.ready)
        return now is not None and now != self._made_from

    @property
    def keeps(self) -> bool:
        """Whether its SDK knows `isolation = reuse`."""
        return self.ready.get("keeps") is True

    @classmethod
    async def start(cls, kind: Kind, options: Options) -> "Template":
        """Starts the process and agrees on the protocol. Raises EnvironmentRefused or ProtocolRefused."""
        environment = kind.environment
        options.log_dir.mkdir(parents=True, exist_ok=True)
        log = options.log_dir / f"template-{environment.name}.log"
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        try:
            process = await _start_process(kind, options, theirs, log)
        except OSError as error:
            ours.close()
            raise EnvironmentRefused(
                f"Can't start {environment.python}: {error.strerror}. Run `headway deploy` again."
            ) from error
        finally:
            theirs.close()
        template = cls(process, ours)
        try:
            await template._shake_hands(environment, log)
        except BaseException:
            await template.close()
            raise
        template._reader = asyncio.create_task(template._read())
        return template

    async def spawn(self, run_dir: Path, agent: socket.socket | None = None) -> ProcessId:
        """Forks a supervisor for the attempt; with `agent`, over which it gets further ones, it is kept.

        Raises SpawnRefused or TemplateLost.
        """
        number = str(next(self._ids))
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            frame = {"type": "spawn", "id": number, "run_dir": str(run_dir)}
            if agent is None:
                await asyncio.get_running_loop().sock_sendall(self._sock, pack(frame))
            else:
                self._send_with(agent, {**frame, "keep": True})
            async with asyncio.timeout(SPAWN_WITHIN):
                frame = await answer
        except (OSError, TimeoutError) as error:
            # One that is silent for so long (stopped, swapped out) will be so for the next attempt too: it is replaced.
            self._lose("The template process does not answer.")
            raise TemplateLost(f"The template process did not answer: {error!r}") from error
        finally:
            self._waiting.pop(number, None)
        if frame.get("type") != "spawned":
            raise SpawnRefused(str(frame.get("code", "")), str(frame.get("message", "")))
        return ProcessId(int(frame["pid"]), int(frame.get("start_time", 0)))

    async def close(self) -> None:
        """The template ends at end of file; one that doesn't is killed."""
        self._lose("The template process was ended.")
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._sock.close()
        try:
            async with asyncio.timeout(END_WITHIN):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                self._process.kill()
            await self._process.wait()

    async def _shake_hands(self, environment: Environment, log: Path) -> None:
        try:
            async with asyncio.timeout(READY_WITHIN):
                self.ready = await receive(self._sock)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            complaint = await asyncio.to_thread(_last_words, log)
            raise EnvironmentRefused(
                f"{environment.python} of environment {environment.name!r} can't run flows; is `headway` installed there? "
                f"{complaint or repr(error)}"
            ) from error
        self._made_from = _stamp(self.ready)
        highest, lowest = int(self.ready.get("protocol", 0)), int(self.ready.get("protocol_min", 0))
        if highest < PROTOCOL_MIN or lowest > PROTOCOL:
            older = "headway in that environment" if highest < PROTOCOL_MIN else "headway-agent"
            raise ProtocolRefused(
                f"headway {self.ready.get('sdk')} of environment {environment.name!r} speaks protocol {lowest} to {highest}, "
                f"this agent {PROTOCOL_MIN} to {PROTOCOL}. Upgrade {older}."
            )

    async def _read(self) -> None:
        try:
            while True:
                frame = await receive(self._sock)
                answer = self._waiting.get(str(frame.get("id")))
                if answer is not None and not answer.done():
                    answer.set_result(frame)
        except (OSError, EOFError, ValueError) as error:
            self._lose(f"The template process ended: {error!r}")

    def _lose(self, why: str) -> None:
        self.alive = False
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(TemplateLost(why))

    def _send_with(self, agent: socket.socket, frame: Mapping[str, Any]) -> None:
        """In one piece: a template that has no room for a line is as good as one that is silent."""
        raw = pack(frame)
        if socket.send_fds(self._sock, [raw], [agent.fileno()]) < len(raw):
            raise BlockingIOError


_Stamp = tuple[int, int] | None


def _stamp(ready: Mapping[str, Any]) -> _Stamp:
    """What an installation changes; None where there is nothing to see, or an installation is under way."""
    try:
        stat = Path(str(ready.get("source", ""))).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-_MOST_COMPLAINT:].strip() if log.exists() else ""


def child_env(base: Mapping[str, str]) -> dict[str, str]:
    """The agent's environment without what is the agent's own: a run never sees its credentials, but the secrets that
    stand there for flows.
    """
    return {
        key: value
        for key, value in base.items()
        if not key.upper().startswith("HEADWAY_") or key.startswith(SECRET_PREFIX)
    }


async def _start_process(
    kind: Kind, options: Options, theirs: socket.socket, log: Path
) -> asyncio.subprocess.Process:
    # -P: the directory in which the agent happens to run is no place to import from.
    command = [
        kind.environment.python,
        "-P",
        "-m",
        "headway.runtime",
        "--fd",
        str(theirs.fileno()),
        *options.arguments,
    ]
    with log.open("wb") as stderr:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[theirs.fileno()],
            env=dict(kind.env),
            cwd="/",
            start_new_session=True,  # Ctrl-C in the agent's terminal is the agent's
        )
