"""What waits to be appended: a command or a message of facts, with the future that its sender awaits."""

from __future__ import annotations

import json
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Generic, TypeVar
from uuid import UUID

from headway_control_plane.application.ports import (
    AttemptVerdict,
    Committed,
    Dedupe,
    FactsResult,
    FactsVerdict,
)
from headway_control_plane.domain.commands import (
    AttemptOver,
    CancelRun,
    CloseSession,
    Command,
    CreateRun,
    DeliverEvent,
    Deploy,
    FireDeadline,
    LoseAttempt,
    LoseSession,
    OpenSession,
    ResumeSession,
)
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.facts import PreparedFacts
from headway_control_plane.log.rows import Wanted

Result = TypeVar("Result", Committed, FactsResult)

_MOVES_SESSION = OpenSession | LoseSession | ResumeSession | CloseSession | FireDeadline
_ENDS_RUN = CancelRun | LoseAttempt | FireDeadline | AttemptOver
_EVENTS_OF_A_COMMAND = 2  # most append one, a cancel two
_BYTES_OF_A_COMMAND = 2048


@dataclass(frozen=True, slots=True)
class HashedKey:
    """An idempotency key as it is stored: hashed, because people put anything into one."""

    key_hash: bytes
    request_hash: bytes
    response: bytes
    keep: timedelta

    @classmethod
    def of(cls, dedupe: Dedupe) -> HashedKey:
        response = json.dumps(dedupe.response, separators=(",", ":"), sort_keys=True).encode()
        return cls(sha256(dedupe.key.encode()).digest(), dedupe.request_hash, response, dedupe.keep)


@dataclass(slots=True, eq=False)
class Waiting(Generic[Result]):
    """Somebody waits for the answer; who stops waiting before loses nothing but the answer."""

    ws: int
    future: Future[Result]

    def settle(self, answer: Result | Exception) -> None:
        if self.future.done():
            return
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


@dataclass(slots=True, eq=False)
class CommandItem(Waiting[Committed]):
    """One command."""

    command: Command
    actor: str
    causation: UUID | None
    traceparent: str
    dedupe: HashedKey | None

    @property
    def leading(self) -> Sequence[Command]:
        """The commands that may lead to others in the same flush."""
        return (self.command,) if isinstance(self.command, CreateRun) else ()

    @property
    def events(self) -> int:
        return _EVENTS_OF_A_COMMAND

    @property
    def size_bytes(self) -> int:
        return _BYTES_OF_A_COMMAND + _bytes_of_contents(self.command)

    def want(self, wanted: Wanted) -> None:
        """Name the rows that the decision reads."""
        wanted.add(self.ws, self.command.needs)
        _want_parents(wanted, self.ws, self.command)
        if isinstance(self.command, _MOVES_SESSION):
            wanted.locked_sessions.update(
                (self.ws, stream.id)
                for stream in self.command.needs
                if stream.kind is StreamKind.SESSION
            )


@dataclass(slots=True, eq=False)
class FactsItem(Waiting[FactsResult]):
    """One message of facts, of one or more attempts."""

    attempts: list[PreparedFacts]
    actor: str
    traceparent: str

    @property
    def leading(self) -> Sequence[Command]:
        """As of a command."""
        every = (command for facts in self.attempts for command in facts.commands.values())
        return [command for command in every if isinstance(command, AttemptOver)]

    @property
    def events(self) -> int:
        return sum(map(len, self.attempts))

    @property
    def size_bytes(self) -> int:
        return sum(facts.size_bytes for facts in self.attempts)

    def want(self, wanted: Wanted) -> None:
        """Name the guards; the run itself only where a fact moves it."""
        for facts in self.attempts:
            wanted.attempts.add((self.ws, facts.run, facts.fence))
            if facts.requests:
                wanted.add(self.ws, (Stream(StreamKind.RUN, facts.run),))
            wanted.topics.update(
                (self.ws, command.topic)
                for command in facts.commands.values()
                if isinstance(command, DeliverEvent)
            )
            for command in facts.commands.values():
                wanted.add(self.ws, command.needs)
                _want_parents(wanted, self.ws, command)
                _want_children(wanted, self.ws, command)


Item = CommandItem | FactsItem


def _want_parents(wanted: Wanted, ws: int, command: Command) -> None:
    if isinstance(command, _ENDS_RUN):
        runs = (stream for stream in command.needs[:1] if stream.kind is StreamKind.RUN)
        wanted.ending.update((ws, run.id) for run in runs)


def _want_children(wanted: Wanted, ws: int, command: Command) -> None:
    if isinstance(command, AttemptOver):
        wanted.asked.update((ws, command.run, call, named) for call, named in command.asked)


def _bytes_of_contents(command: Command) -> int:
    """What it carries beside words: parameters and the like are most of what a waiting command takes."""
    match command:
        case CreateRun():
            blobs = (command.parameters, command.labels)
        case Deploy():
            blobs = (command.spec.parameter_schema, command.spec.defaults)
        case _:
            return 0
    return sum(len(blob.content or b"") for blob in blobs)


def poisoned(facts: PreparedFacts, reason: str) -> AttemptVerdict:
    """Return the verdict over facts of which the first can't be stored."""
    return AttemptVerdict(facts.run, facts.fence, FactsVerdict.POISON, facts.first_seq - 1, reason)
