"""What one agent has been told of its attempts: pure. Rows and notices go in, what is still to be said comes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.grpc_api.wire import Attempt

ENDED_KNOWN = 10_000
"""Runs that have ended and may still be reported on: output travels behind the facts, and the last of it comes late."""


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An open attempt of the session, as its row says."""

    run: UUID
    fence: int
    cancel: bool
    asked: int = 0  # the run's version, if the attempt asks a person


@dataclass(frozen=True, slots=True)
class Differences:
    """What the agent does not know yet. `answers`: runs that may have some which it was not told. `gone` are attempts that were open here and are not any more."""

    assign: tuple[UUID, ...]
    cancel: tuple[UUID, ...]
    gone: tuple[Attempt, ...]
    answers: tuple[UUID, ...] = ()


@dataclass(slots=True)
class Ledger:
    """`known` attempts may be reported on; `open` maps the runs that the agent is executing to their fences; `variables` is the version
    of the workspace's variables that it was sent on this stream. `answered` are the calls whose answers it was told, `seen` the versions
    of the runs then.
    """

    known: set[Attempt] = field(default_factory=set)
    open: dict[UUID, int] = field(default_factory=dict)
    cancelled: set[Attempt] = field(default_factory=set)
    ended: deque[UUID] = field(default_factory=deque)
    variables: int = 0
    answered: dict[UUID, set[bytes]] = field(default_factory=dict)
    seen: dict[UUID, int] = field(default_factory=dict)

    def holds(self, attempts: Iterable[Attempt], open_attempts: Mapping[UUID, int]) -> None:
        """The agent named these itself; the open ones need no Assign."""
        self.known.update(attempts)
        self.open.update(open_attempts)

    def assign(self, run: UUID, fence: int) -> bool:
        """Note that an Assign is sent; False when it was before."""
        if self.open.get(run, 0) >= fence:
            return False
        self.close(run)
        self.open[run] = fence
        self.known.add((run, fence))
        return True

    def answer(self, run: UUID, fence: int, answers: Iterable[pb.Answer]) -> list[pb.Answer]:
        """Return the answers that this attempt was not told, once."""
        if self.open.get(run) != fence:
            return []
        known = self.answered.get(run, set())
        fresh = [answer for answer in answers if answer.call not in known]
        if fresh:
            self.answered[run] = known.union(answer.call for answer in fresh)
        return fresh

    def looked(self, run: UUID, version: int) -> None:
        """Whatever the run's row held in this version was told."""
        if run in self.open:
            self.seen[run] = version

    def cancel(self, run: UUID) -> Attempt | None:
        """Return the attempt to cancel, once; None when the agent does not execute the run or was told."""
        fence = self.open.get(run)
        if fence is None or (run, fence) in self.cancelled:
            return None
        self.cancelled.add((run, fence))
        return run, fence

    def close(self, run: UUID) -> bool:
        """The run's attempt is no longer open; whether it was ours. What is still reported of it stays allowed."""
        fence = self.open.pop(run, None)
        if fence is None:
            return False
        self.cancelled.discard((run, fence))
        self.answered.pop(run, None)
        self.seen.pop(run, None)
        return True

    def forget(self, run: UUID) -> None:
        """The run has ended for good. The oldest of many ended ones are known no longer; a new Hello may name them again."""
        self.close(run)
        self.ended.append(run)
        if len(self.ended) > ENDED_KNOWN:
            leaving = {self.ended.popleft() for _ in range(ENDED_KNOWN // 2)}
            self.known = {attempt for attempt in self.known if attempt[0] not in leaving}

    def compare(self, rows: Iterable[OpenAttempt]) -> Differences:
        """What is to be said so that the agent knows what the rows say."""
        present = {row.run: row for row in rows}
        return Differences(
            assign=tuple(
                row.run for row in present.values() if self.open.get(row.run, 0) < row.fence
            ),
            cancel=tuple(
                row.run
                for row in present.values()
                if row.cancel
                and self.open.get(row.run) == row.fence
                and (row.run, row.fence) not in self.cancelled
            ),
            answers=tuple(
                row.run
                for row in present.values()
                if row.asked > self.seen.get(row.run, 0) and self.open.get(row.run) == row.fence
            ),
            gone=tuple((run, fence) for run, fence in self.open.items() if run not in present),
        )
