"""Supervisors that keep their flow process (`isolation = reuse`), seen from the agent: who is idle, who does what.

A pair belongs to this agent process: its socket is the only way to a further attempt, and a pair that reads its end is busy
with its last one. So after a restart of the agent every supervisor has one attempt, as without reuse.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway_agent.runner.api import AttemptKey
from headway_agent.runner.framing import MAX_FRAME, Splitter, pack
from headway_agent.runner.processes import NOBODY, ProcessId
from headway_agent.runner.template import Kind, SpawnRefused, Template, TemplateLost

log = logging.getLogger(__name__)
READ = 64 * 1024
ANSWER_WITHIN = 60.0
MOST_IDLE = 64
"""Of all deployments together; the one that has waited longest then ends."""


class PairLost(TemplateLost):
    """It ended before it took the attempt, or will not take it: another one is to."""


@dataclass(frozen=True, slots=True)
class Code:
    """What an attempt executes. Attempts with equal ones may share a process."""

    kind: Kind
    env: Mapping[str, str]
    module: str
    code_hash: str
    max_runs: int
    max_memory_mb: int


class Pair:
    """One supervisor with its flow process, from the moment at which its socket was handed over."""

    def __init__(
        self,
        sock: socket.socket,
        template: Template,
        code: Code,
        key: AttemptKey,
        on_change: Callable[["Pair"], None],
    ) -> None:
        self._sock = sock
        self.template = template
        self.code = code
        self._on_change = on_change
        self._splitter = Splitter()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._number = 0
        self.process = NOBODY
        self.current: AttemptKey | None = key
        """The attempt that it has, or may have taken."""
        self.alive = True
        sock.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read)

    async def start(self, key: AttemptKey, run_dir: Path, start: Mapping[str, Any]) -> ProcessId:
        """Hands over the next attempt. Raises PairLost or SpawnRefused, after which the pair is of no use any more."""
        loop = asyncio.get_running_loop()
        self._number += 1
        self.current = key
        self._answer = loop.create_future()
        frame = {"type": "next", "id": str(self._number), "run_dir": str(run_dir), "start": start}
        raw = pack(frame)
        try:
            if len(raw) > MAX_FRAME:
                raise PairLost("The start is larger than a frame.")
            await loop.sock_sendall(self._sock, raw)
            async with asyncio.timeout(ANSWER_WITHIN):
                answer = await self._answer
        except (OSError, TimeoutError) as error:
            raise PairLost(f"A kept process did not answer: {error!r}") from error
        finally:
            self._answer = None
        if answer.get("type") == "spawned":
            return self.process
        code, message = str(answer.get("code", "")), str(answer.get("message", ""))
        if code == "retired":
            raise PairLost(message)
        raise SpawnRefused(code, message)

    def close(self) -> None:
        """It ends once it has nothing to do. What it is doing goes on."""
        if self.alive:
            self.alive = False
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(PairLost("A kept process has ended."))

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ)
            for frame in self._splitter.feed(data):
                self._take(frame)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            data = b""  # out of step is as good as gone
        if not data:
            self.close()
            self._on_change(self)

    def _take(self, frame: Mapping[str, Any]) -> None:
        if frame.get("type") == "idle":
            self.current = None
            self._on_change(self)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(dict(frame))


class Pairs:
    """All pairs of this agent. Idle ones stand in the order in which they became so."""

    def __init__(self) -> None:
        self._idle: dict[Pair, None] = {}
        self._busy: set[Pair] = set()
        self._by_process: dict[ProcessId, Pair] = {}

    def take(self, code: Code) -> Pair | None:
        """The idle one that was busy last: what it has read is still in memory. Outdated ones end."""
        self._end_outdated(code.kind)
        found = next((pair for pair in reversed(self._idle) if pair.code == code), None)
        if found is not None:
            del self._idle[found]
            self._busy.add(found)
        return found

    def begin(self, sock: socket.socket, template: Template, code: Code, key: AttemptKey) -> Pair:
        """A pair that is being forked for an attempt."""
        pair = Pair(sock, template, code, key, self._changed)
        self._busy.add(pair)
        return pair

    def name(self, pair: Pair, process: ProcessId) -> None:
        """Its supervisor is known now."""
        pair.process = process
        if pair.alive:
            self._by_process[process] = pair

    def may_signal(self, process: ProcessId, key: AttemptKey) -> bool:
        """Whether what is sent to this supervisor reaches this attempt: a pair of ours may have another one already."""
        pair = self._by_process.get(process)
        return pair is None or pair.current == key

    def _end_outdated(self, kind: Kind) -> None:
        """Those that would be other processes, as their environment is now. Many have one template, which is asked once."""
        name = kind.environment.name
        here = [pair for pair in self._idle if pair.code.kind.environment.name == name]
        gone = {template for template in {pair.template for pair in here} if template.outdated}
        for pair in here:
            if pair.template in gone or pair.code.kind != kind:
                self.end(pair)

    def end(self, pair: Pair) -> None:
        pair.close()
        self._idle.pop(pair, None)
        self._busy.discard(pair)
        self._by_process.pop(pair.process, None)

    def close(self) -> None:
        for pair in [*self._idle, *self._busy]:
            self.end(pair)

    def _changed(self, pair: Pair) -> None:
        if not pair.alive:
            self.end(pair)
        elif pair in self._busy:
            self._busy.discard(pair)
            self._idle[pair] = None
            if len(self._idle) > MOST_IDLE:
                self.end(next(iter(self._idle)))
