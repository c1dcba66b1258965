"""A supervisor and its flow: one attempt of a run, as the world has it executed."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from headway.child_runs import RunRequest
from headway.runtime.asked_runs import AskedRuns
from headway.runtime.decisions import Cancelling, HeldStarts, cancel_step, decide_exit
from headway_agent.runner.api import Assignment
from simulation.flows import (
    Ask,
    Body,
    Flow,
    Heard,
    draw_flow,
    pause_call,
    range_keys,
    salted,
    wait_call,
)

if TYPE_CHECKING:
    from simulation.host import Host, RunDirectory


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
        self._answers = {answer.call: answer for answer in assignment.answers}
        self._paused: int | None = None  # before which task it asks a person
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
        self._told = self._flow.told.setdefault(self._key, Counter())
        self._journal = host.journal(self._key)
        known = [asdict(asked) for asked in assignment.asked_runs]
        self._known = {asked["run"] for asked in known}
        journal = cast("Any", self._journal)
        self._asked = AskedRuns(
            self._key.run,
            journal,
            known,
            cut=assignment.asked_runs_cut,
            unheard=assignment.unheard,
        )
        self._requested: dict[str, str] = {}  # call -> the run that it stands for
        self._world.note(host.name, "starts", self._key, "knows", sorted(self._journal.tasks))
        self._wake()
        self._later(self._world.random.uniform(0.05, 1.0), self._begin)

    # The flow -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._say("attempt.started")
        self._task(0)

    def _task(self, n: int) -> None:
        """What comes before a task, then the task. Whatever was answered meanwhile leads here again."""
        for ask in self._flow.asks:
            if ask.n == n:
                self._request(ask)
        wanted = [call for ask in self._flow.asks if ask.until == n for call in self._calls(ask)]
        if out := [call for call in wanted if not self._hears(call)]:
            self._suspend([self._wait(call, "run", run=self._requested[call]) for call in out])
        elif n == len(self._flow.tasks):
            self._end("completed", 0)
        elif (
            n in self._flow.waits and n not in self._journal.tasks and not self._hears(wait_call(n))
        ):
            self._suspend([self._timed(n, self._flow.waits[n])])
        elif (
            n in self._flow.pauses
            and n not in self._journal.tasks
            and not self._hears(pause_call(n))
        ):
            self._pause(n)
        elif n in self._journal.tasks:
            self._world.happens("task skipped")
            self._quick_calls(n, "skipped")
            self._call_ended(f"{n:04x}", "skipped", result=_RESULT)
            self._later(0.001, self._task, n + 1)
        else:
            self._execute(n)

    def _execute(self, n: int) -> None:
        body = Body(self._key, self._host.name, n, self._began)
        self._flow.bodies.append(body)
        self._say("call.started", call=f"{n:04x}", parent="root")
        crashes = self._world.chance(self._host.faults.flow_crash)
        self._later(self._flow.tasks[n], self._after_task, n, body, crashes)

    def _after_task(self, n: int, body: Body, crashes: bool) -> None:
        world, faults = self._world, self._host.faults
        if crashes:
            world.happens("flow crashed")
            self._exit(world.random.choice((-signal.SIGSEGV, -signal.SIGKILL, 3)))
            return
        if world.chance(faults.flow_failure):
            world.happens("flow failed")
            self._call_ended(f"{n:04x}", "failed", error=_ERROR)
            self._end("failed", 0)
            return
        self._quick_calls(n, "completed")
        self._call_ended(f"{n:04x}", "completed", result=_RESULT)
        body.kept_at = world.now
        self._directory.lines += world.random.randrange(4)
        self._task(n + 1)

    def _call_ended(self, call: str, outcome: str, **more: Any) -> None:
        self._told[outcome] += 1
        self._say("call.ended", call=call, outcome=outcome, **more)

    def _quick_calls(self, n: int, outcome: str) -> None:
        """Calls that are told as ranges."""
        keys = range_keys(n, self._flow.ranges.get(n, 0))
        while keys:
            size = self._world.random.randint(1, len(keys))
            some, keys = keys[:size], keys[size:]
            self._world.happens("range told")
            self._told[outcome] += size
            self._say(
                "calls.ended",
                parent="root",
                kind="task",
                name="quick",
                outcome=outcome,
                codec="json",
                size=4 * size,
                calls="".join(some),
                started_deltas_us=[self._now_us(), *[1] * (size - 1)],
                durations_us=[1] * size,
            )

    # Waiting --------------------------------------------------------------------------------------------

    def _request(self, ask: Ask) -> None:
        """Which run a call stands for the production code says, from the journal here and from what the control plane knows."""
        for call, name in zip(self._calls(ask), ask.deployments, strict=True):
            if call in self._requested or call in self._journal.heard:
                continue
            run = self._asked.find(call, _wish(name, ask), self._now_us())
            self._requested[call] = run
            if self._asked.is_told(call, run):
                continue
            self._world.happens("child found again" if run in self._known else "run asked for")
            if run not in self._host.flows:
                self._host.flows[run] = self._child(call)
            self._say(
                "run.requested",
                call=call,
                parent="root",
                kind="wait",
                name=name,
                run=run,
                waited=True,
                outlives=ask.outlive,
            )

    def _calls(self, ask: Ask) -> list[str]:
        return [salted(call, self._host.name) for call in ask.calls]

    def _child(self, call: str) -> Flow:
        child = self._flow.children.get(call)
        if child is None:
            child = draw_flow(self._world.random, self._host.faults, self._flow.depth + 1)
            self._flow.children[call] = child
        return child

    def _hears(self, call: str) -> bool:
        """Whether the call's answer is there, now or in the journal. What is new is written down."""
        if call in self._journal.heard:
            return True
        answer = self._answers.get(call) or self._directory.answers.get(call)
        if answer is None:
            return False
        self._journal.heard.add(call)
        self._call_ended(call, "completed", result=_RESULT)
        self._flow.heard.append(
            Heard(
                self._key,
                self._host.name,
                call,
                None if answer.over else answer.value,
                self._began,
                self._world.now,
            )
        )
        return True

    def _wait(self, call: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"call": call, "kind": kind, **more}

    def _timed(self, n: int, seconds: float | None) -> dict[str, Any]:
        if seconds is None:
            return self._wait(wait_call(n), "input")
        return self._wait(wait_call(n), "sleep", until_us=self._now_us() + int(seconds * 1e6))

    def _suspend(self, waits: Sequence[dict[str, Any]]) -> None:
        self._world.happens("flow suspended")
        self._waits = list(waits)
        self._end("suspended", 0)

    def _pause(self, n: int) -> None:
        self._world.happens("flow paused")
        self._paused = n
        self._say("wait.started", wait=self._wait(pause_call(n), "input"))

    def answered(self) -> None:
        """The agent wrote an answer down: the flow looks now and then."""
        self._later(self._world.random.uniform(0.01, 1.0), self._look)

    def _look(self) -> None:
        n = self._paused
        if n is not None and self._ended is None and self._hears(pause_call(n)):
            self._paused = None
            self._world.happens("pause answered")
            self._task(n)

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

    def _say(self, name: str, /, **more: Any) -> None:
        frame = {"type": name, "at_us": self._now_us(), **more}
        now = self._world.now
        self._write(self._held.pass_on(now, frame, raw(frame)))
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
        return raw({"type": kind, "at_us": self._now_us(), **more})

    def _now_us(self) -> int:
        return int(self._world.instant().timestamp() * 1e6)


_RESULT = {"codec": "json", "size": 4, "digest": "ab" * 32, "data": "null"}
_ERROR = {"class": "ValueError", "message": "as drawn", "traceback": []}


def raw(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


def _wish(deployment: str, ask: Ask) -> RunRequest:
    return RunRequest(deployment, {}, (), "", 0, waited=True, outlives=ask.outlive)
