"""A customer's machine: its disk, and the supervisors and flows on it. They live on when the agent dies, and die with the power.

What a flow executes is recorded by the world itself, so that nobody has to believe the frames.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headway.runtime.decisions import Cancelling, HeldStarts, cancel_step, decide_exit
from headway_agent.runner.api import Assignment, AttemptKey, AttemptState
from simulation.faults import Faults
from simulation.world import World


@dataclass
class RunDirectory:
    """frames.log as a list: the first `synced` frames survive a power cut. `writer` holds its lock."""

    frames: list[bytes] = field(default_factory=list)
    synced: int = 0
    lines: int = 0  # of output.log
    writer: Supervisor | None = None

    def find(self, kind: str) -> dict[str, Any] | None:
        """The last frame of this type."""
        for raw in reversed(self.frames):
            if b'"' + kind.encode() + b'"' in raw:
                return json.loads(raw)
        return None

    @property
    def exited(self) -> bool:
        return bool(self.frames) and b'"attempt.exited"' in self.frames[-1]


@dataclass
class Row:
    """An attempt in agent.db."""

    key: AttemptKey
    assignment: Assignment
    state: AttemptState = "assigned"
    acked_seq: int = 0
    acked_line: int = 0


@dataclass
class Body:
    """One execution of a task's body, as the world saw it. `kept_at`: when its end was written."""

    key: AttemptKey
    host: str
    task: int
    attempt_began: float
    kept_at: float | None = None


class Host:
    """`boots` counts its starts; a supervisor belongs to one."""

    def __init__(self, world: World, faults: Faults, name: str, flows: dict[str, Flow]) -> None:
        self.world = world
        self.faults = faults
        self.name = name
        self.flows = flows
        self.boots = 1
        self.up = True
        self.rows: dict[AttemptKey, Row] = {}
        self.directories: dict[AttemptKey, RunDirectory] = {}
        self.witness: Any = None
        self.power_cuts = 0
        self.processes = 0  # of the agent: counted in agent.db
        self.lose_power: Callable[[], None] = lambda: None
        self.on_wake: Callable[[AttemptKey], None] = lambda _: None

    def spawn(self, assignment: Assignment, on_spawned: Callable[[], None]) -> None:
        """The template forks a supervisor, which makes STARTING durable. Happens even if the agent dies meanwhile."""
        boots = self.boots
        self.world.after(
            self.world.random.uniform(0.02, 0.5), self._fork, assignment, boots, on_spawned
        )

    def _fork(self, assignment: Assignment, boots: int, on_spawned: Callable[[], None]) -> None:
        if self.up and self.boots == boots and assignment.key not in self.directories:
            directory = RunDirectory()
            self.directories[assignment.key] = directory
            Supervisor(self, assignment, directory)
        on_spawned()

    def cut_power(self) -> None:
        """Everything dies; what was not synced is partly gone."""
        self.up = False
        self.power_cuts += 1
        for directory in self.directories.values():
            if directory.writer is not None:
                directory.writer.die()
            unsynced = len(directory.frames) - directory.synced
            if unsynced > 0:
                self.world.happens("unsynced write lost")
                del directory.frames[directory.synced + self.world.random.randrange(unsynced) :]
            directory.synced = len(directory.frames)

    def boot(self) -> None:
        self.up = True
        self.boots += 1

    def journal(self, key: AttemptKey) -> set[int]:
        """Tasks that earlier attempts of the run completed, as far as this disk knows."""
        return {
            int(frame["call"], 16)
            for earlier, directory in self.directories.items()
            if earlier.run == key.run and earlier.fence < key.fence
            for frame in map(json.loads, directory.frames)
            if frame["type"] == "call.ended" and frame["outcome"] in {"completed", "skipped"}
        }


@dataclass
class Flow:
    """What a run's code does: `tasks` with their durations, and `waits`: before which of them it is suspended, how long (None: for an answer)."""

    tasks: list[float]
    waits: dict[int, float | None] = field(default_factory=dict)
    bodies: list[Body] = field(default_factory=list)
    starts: dict[int, str] = field(default_factory=dict)  # fence -> host that executed it


class Supervisor:
    """One attempt: writes what its flow says, syncs in groups, ends it when asked, tells how it ended."""

    def __init__(self, host: Host, assignment: Assignment, directory: RunDirectory) -> None:
        self._host = host
        self._world = host.world
        self._key = assignment.key
        self._flow = host.flows[assignment.key.run]
        self._directory = directory
        self._held = HeldStarts()
        self._cancel = Cancelling(assignment.cancel_grace_us / 1e6, assignment.kill_grace_us / 1e6)
        self._ended: str | None = None
        self._waits: list[dict[str, Any]] = []
        self._stubborn = self._world.chance(host.faults.stubborn)
        self._syncing = False
        self._began = self._world.now
        self._answered = {answer.call for answer in assignment.answers}
        self.alive = True
        directory.writer = self
        self._write(
            [
                self._frame(
                    "attempt.starting", run=self._key.run, fence=self._key.fence, boot=host.boots
                )
            ]
        )
        directory.synced = 1
        if self._key.fence in self._flow.starts:
            self._world.broke("an attempt was started twice", self._key, host.name)
        self._flow.starts[self._key.fence] = host.name
        self._journal = host.journal(self._key)
        self._world.note(host.name, "starts", self._key, "knows", sorted(self._journal))
        self._wake()
        self._later(self._world.random.uniform(0.05, 1.0), self._begin)

    # The flow -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._say("attempt.started")
        self._task(0)

    def _task(self, n: int) -> None:
        world, faults = self._world, self._host.faults
        if n == len(self._flow.tasks):
            self._end("completed", 0)
        elif (
            n in self._flow.waits and n not in self._journal and wait_call(n) not in self._answered
        ):
            self._suspend(n, self._flow.waits[n])
        elif n in self._journal:
            world.happens("task skipped")
            self._say("call.ended", call=f"{n:04x}", outcome="skipped", result=_RESULT)
            self._later(0.001, self._task, n + 1)
        else:
            body = Body(self._key, self._host.name, n, self._began)
            self._flow.bodies.append(body)
            self._say("call.started", call=f"{n:04x}", parent="root")
            self._later(
                self._flow.tasks[n], self._after_task, n, body, world.chance(faults.flow_crash)
            )

    def _after_task(self, n: int, body: Body, crashes: bool) -> None:
        world, faults = self._world, self._host.faults
        if crashes:
            world.happens("flow crashed")
            self._exit(world.random.choice((-signal.SIGSEGV, -signal.SIGKILL, 3)))
            return
        if world.chance(faults.flow_failure):
            world.happens("flow failed")
            self._say("call.ended", call=f"{n:04x}", outcome="failed", error=_ERROR)
            self._end("failed", 0)
            return
        self._say("call.ended", call=f"{n:04x}", outcome="completed", result=_RESULT)
        body.kept_at = world.now
        self._directory.lines += world.random.randrange(4)
        self._task(n + 1)

    def _suspend(self, n: int, seconds: float | None) -> None:
        self._world.happens("flow suspended")
        wait: dict[str, Any] = {
            "call": wait_call(n),
            "kind": "input" if seconds is None else "sleep",
        }
        if seconds is not None:
            wait["until_us"] = self._now_us() + int(seconds * 1e6)
        self._waits = [wait]
        self._end("suspended", 0)

    def _end(self, outcome: str, code: int) -> None:
        self._ended = outcome
        more: dict[str, Any] = {"error": _ERROR} if outcome == "failed" else {}
        if outcome == "suspended":
            more = {"waits": self._waits}
        self._say("attempt.ended", outcome=outcome, **more)
        self._later(0.01, self._exit, code)

    # Cancel ---------------------------------------------------------------------------------------------

    def signalled(self, number: int) -> None:
        """SIGTERM: end in steps; SIGQUIT: now."""
        if self.alive:
            self._step("kill" if number == signal.SIGQUIT else "asked")

    def _step(self, event: Any) -> None:
        if not self.alive:
            return
        self._cancel, signals = cancel_step(self._cancel, self._world.now, event)
        for number, _ in signals:
            self._signal_flow(number)
        if self._cancel.next_at is not None and self.alive:
            self._later(self._cancel.next_at - self._world.now, self._step, "tick")

    def _signal_flow(self, number: int) -> None:
        if not self.alive:
            return
        if number == signal.SIGKILL:
            self._exit(-signal.SIGKILL)
        elif self._stubborn:
            self._world.happens("flow ignores cancel")
        elif number == signal.SIGUSR1 and self._ended is None:
            self._later(self._world.random.uniform(0.01, 1.0), self._end, "cancelled", 0)

    # Its end ----------------------------------------------------------------------------------------------

    def _exit(self, code: int) -> None:
        outcome, cause = decide_exit(self._ended, code, self._cancel)
        more = {"waits": self._waits} if outcome == "suspended" else {}
        self._write(self._held.release_all())
        self._write(
            [
                self._frame(
                    "attempt.exited",
                    outcome=outcome,
                    cause=cause,
                    lines=self._directory.lines,
                    **more,
                )
            ]
        )
        self._directory.synced = len(self._directory.frames)
        self._world.note(self._host.name, "exits", self._key, outcome, cause)
        self.die()
        self._wake()

    def die(self) -> None:
        """Without a word, and the flow with it."""
        self.alive = False
        self._directory.writer = None

    def kill(self) -> None:
        if self.alive:
            self._world.happens("supervisor killed")
            self._world.note(self._host.name, "supervisor killed", self._key)
            self.die()

    # Writing ----------------------------------------------------------------------------------------------

    def _say(self, kind: str, **more: Any) -> None:
        frame = {"type": kind, "at_us": self._now_us(), **more}
        now = self._world.now
        self._write(self._held.pass_on(now, frame, _raw(frame)))
        if (due := self._held.deadline()) is not None:
            self._later(max(0.0, due - now), self._release)

    def _release(self) -> None:
        self._write(self._held.due(self._world.now))

    def _write(self, frames: list[bytes]) -> None:
        self._directory.frames += frames
        if frames and self._world.chance(self._host.faults.power_cut_at_write):
            self._world.after(0.0005, self._host.lose_power)
        if frames and not self._syncing:
            self._syncing = True
            slow = self._world.chance(0.1)
            self._later(self._world.random.uniform(0.001, 5.0 if slow else 0.2), self._sync)

    def _sync(self) -> None:
        self._syncing = False
        self._directory.synced = len(self._directory.frames)
        self._wake()

    def _wake(self) -> None:
        if not self._world.chance(
            0.05
        ):  # a datagram; a lost one is made good by the runner's sweep
            self._world.after(0.001, self._host.on_wake, self._key)

    def _later(self, delay: float, act: Callable[..., None], *args: Any) -> None:
        self._world.after(delay, self._if_alive, act, args)

    def _if_alive(self, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.alive:
            act(*args)

    def _frame(self, kind: str, **more: Any) -> bytes:
        return _raw({"type": kind, "at_us": self._now_us(), **more})

    def _now_us(self) -> int:
        return int(self._world.instant().timestamp() * 1e6)


def wait_call(n: int) -> str:
    return f"8{n:03x}"


_RESULT = {"codec": "json", "size": 4, "digest": "ab" * 32, "data": "null"}
_ERROR = {"class": "ValueError", "message": "as drawn", "traceback": []}


def _raw(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()
