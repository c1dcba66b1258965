"""What use cases and loops need of the outside, as interfaces and plain values: the log, its reader, its hints."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self
from uuid import UUID

from headway_control_plane.domain.streams import Blob, Decided, Stream, StreamKind

if TYPE_CHECKING:
    from headway_control_plane.domain.commands import Command


class BadCursor(ValueError):
    """A text that should be a cursor is none."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is no cursor. Use one that an answer gave you (epoch:offset, for example 1:42), or 0:0 for the beginning."
        )
        self.text = text


class EpochChanged(Exception):
    """The log that a cursor was taken from is no longer this log: the database was restored or promoted with loss.

    Whoever follows drops what it derived from offsets behind `head` and reads anew from `restart`.
    """

    def __init__(self, ws: int, asked: Cursor, head: Cursor) -> None:
        super().__init__(
            f"The log is at {head}, the cursor {asked} belongs to another epoch or lies behind its end. Read anew from 0:0."
        )
        self.ws = ws
        self.asked = asked
        self.head = head


class Unavailable(Exception):
    """The log cannot take this now; nothing was appended as far as anybody knows. Sending it again is harmless."""

    def __init__(self, why: str, retry_after: timedelta) -> None:
        super().__init__(f"{why} Try again in {retry_after.total_seconds():g} s.")
        self.retry_after = retry_after


class IdempotencyConflict(Exception):
    """The idempotency key was used before, for a request with another content."""

    code = "idempotency_conflict"

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was already used for a different request. Send a new key with a new request."
        )


class UnknownWorkspace(Exception):
    """There is no workspace of this number."""

    code = "unknown_workspace"

    def __init__(self, ws: int) -> None:
        super().__init__(f"There is no workspace {ws}. Create it first (headway server bootstrap).")
        self.ws = ws


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in a workspace's log: everything up to and with `offset` was seen. As text `epoch:offset`."""

    epoch: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; raises BadCursor."""
        epoch, colon, offset = text.partition(":")
        # int() takes signs, spaces, underscores and other scripts' digits; a cursor has none of them.
        if (
            not (colon and text.isascii() and epoch.isdigit() and offset.isdigit())
            or len(text) > 40
        ):
            raise BadCursor(text)
        return cls(int(epoch), int(offset))


START = Cursor(0, 0)  # before everything, of whatever epoch


@dataclass(frozen=True, slots=True)
class Witness:
    """A place of the log and the head of the hash chain there."""

    cursor: Cursor
    chain: bytes


@dataclass(frozen=True, slots=True)
class Dedupe:
    """An idempotency key. The response is stored with the events; a repetition gets the stored one and appends nothing."""

    key: str
    request_hash: bytes
    response: Mapping[str, Any]
    keep: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a command did. `repeated`: it had been done before; then `decided` is empty and `cursor` is the log's head."""

    cursor: Cursor
    chain: bytes
    decided: tuple[Decided, ...]
    response: Mapping[str, Any] | None = None
    repeated: bool = False
    recorded_at: datetime | None = None


class Fact(NamedTuple):
    """One fact as received. A tuple, because there are many."""

    type: str
    schema_version: int
    occurred_at_us: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """Consecutive facts of one attempt, and the erasable content that they name by digest."""

    run: UUID
    fence: int
    first_seq: int
    facts: Sequence[Fact]
    blobs: Sequence[Blob] = ()


@dataclass(frozen=True, slots=True)
class FactsBatch:
    """What one message of an agent carries; `actor` is the agent, as `agent/<id>`."""

    attempts: Sequence[AttemptFacts]
    actor: str
    traceparent: str = ""


class FactsVerdict(StrEnum):
    """What became of one attempt's facts; the words of `headway_api.agent.v1.Verdict`."""

    OK = "ok"
    GAP = "gap"
    FENCED = "fenced"
    POISON = "poison"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AttemptVerdict:
    """`last_seq` is the newest fact in the log. POISON speaks of the fact after it; `reason` says what is wrong."""

    run: UUID
    fence: int
    verdict: FactsVerdict
    last_seq: int
    reason: str = ""
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class FactsResult:
    """One verdict for each attempt of the batch, in its order. No witness when nothing was appended."""

    attempts: tuple[AttemptVerdict, ...]
    witness: Witness | None


@dataclass(frozen=True, slots=True)
class CommitNotice:
    """One workspace's part of a commit. `decided` holds the control plane's own events; facts are only counted in `last`.

    `wants_runs`: among the facts are wishes for runs.
    """

    ws: int
    shard: int
    first: Cursor
    last: Cursor
    decided: tuple[Decided, ...]
    now: datetime
    wants_runs: bool = False


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant, as the directory knows it."""

    ws: int
    id: UUID
    name: str
    shard: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """A command that follows from others of the same flush, carried out behind them. `outcome` gets what `execute` would answer."""

    command: Command
    actor: str
    outcome: Future[Committed]


class Foresight(Protocol):
    """Says, for commands of a workspace that are about to be carried out, in order, what follows from them if they are."""

    def __call__(self, ws: int, commands: Sequence[Command]) -> Sequence[Reaction]: ...


class Log(Protocol):
    """Appends. What returns was committed; what raises Refused was not appended; after Unavailable, send again."""

    async def execute(
        self,
        ws: int,
        command: Command,
        *,
        actor: str,
        causation: UUID | None = None,
        traceparent: str = "",
        dedupe: Dedupe | None = None,
    ) -> Committed: ...

    async def append_facts(self, ws: int, batch: FactsBatch) -> FactsResult: ...

    async def append_lines(
        self, ws: int, run: UUID, fence: int, first_line: int, lines: int, content: bytes
    ) -> int:
        """Store consecutive lines of output; return the number of the last stored line."""
        ...

    async def found(self, name: str, *, actor: str) -> Workspace:
        """Create a workspace, or return the one that has this name."""
        ...

    def on_commit(self, listener: Callable[[CommitNotice], None]) -> Callable[[], None]:
        """Call the listener after each commit, in the event loop; it must not block. The returned function ends it."""
        ...

    def foresee_with(self, foresight: Foresight | None) -> None:
        """Ask this, before each flush, what runs that it creates and attempts that it ends lead to; it must not block."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of the log: its envelope and its payload as stored."""

    cursor: Cursor  # in the log's present epoch
    epoch: int  # in which it was written
    seg: int
    stream: Stream
    version: int
    type: str
    schema_version: int
    event_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    causation: UUID | None
    traceparent: str
    payload: bytes
    chain: bytes
    decoder: Callable[[Recorded], Any] = field(repr=False, compare=False)

    @property
    def is_fact(self) -> bool:
        return self.stream.kind is StreamKind.ATTEMPT

    def decode(self) -> Any:
        """Return the domain event, or a fact's protobuf message; old schema versions are brought to the newest.

        None for a type that this code does not know.
        """
        return self.decoder(self)


class Page(list[Recorded]):
    """Events as followers get them. One page may go to many of them: nobody changes it, and what is made of it can be kept by it."""

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment] # the page itself, not what it is equal to


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to `cursor` was delivered; nothing that was asked for lies between."""

    cursor: Cursor


class LogReader(Protocol):
    """Reads a workspace's log, in order, without gap, from any cursor. Raises EpochChanged.

    In `streams`, an attempt with fence 0 stands for all attempts of that run.
    """

    async def head(self, ws: int) -> Witness: ...

    async def read(
        self, ws: int, after: Cursor, limit: int = 500, streams: Sequence[Stream] | None = None
    ) -> list[Recorded]: ...

    async def read_before(self, ws: int, before: Cursor, limit: int = 500) -> list[Recorded]:
        """Return the newest events below a cursor, oldest first."""
        ...

    async def read_stream(
        self, ws: int, stream: Stream, after_version: int = 0, limit: int = 500
    ) -> list[Recorded]: ...

    def follow(
        self, ws: int, after: Cursor, streams: Sequence[Stream] | None = None
    ) -> AsyncIterator[Page | Bookmark]:
        """History, then live, in one. A bookmark follows each time that the end is reached."""
        ...

    async def blobs(self, ws: int, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return erasable content by digest; what was erased or withheld is absent."""
        ...


class Hints(Protocol):
    """Wake-ups, from this process and from other replicas: never truth, may be lost, may be late."""

    def on_hint(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call the listener with the shard that may have news. The returned function ends it."""
        ...

    def on_remote_hint(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """The same for other replicas' news alone, for whoever follows this process's commits by their notices."""
        ...
