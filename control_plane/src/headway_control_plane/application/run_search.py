"""The language in which people filter runs: `flow:nightly state:failed since:24h words`. Pages, REST API and command all read it here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from uuid import UUID

from headway_control_plane.application.bulk import BulkAction
from headway_control_plane.application.errors import InvalidRequest, Problem
from headway_control_plane.domain.run.state import RunStatus

KEYS = ("deployment", "flow", "id", "parent", "since", "state", "tag", "text", "until")
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ID = re.compile(r"(?=-*[0-9a-f])[0-9a-f-]{1,36}", re.IGNORECASE)
# A word that begins with a quotation mark is text, whatever stands in it; so is an address (`http://...`).
_RAW = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\])+""", re.DOTALL)
_KEY = re.compile(r"([A-Za-z_]+):(?!/)(.*)", re.DOTALL)
_PAST = {BulkAction.CANCEL: "cancelled", BulkAction.RESUME: "resumed"}


@dataclass(frozen=True, slots=True)
class RunSearch:
    """A filter that was understood. `words` are its parts as they were written, for chips that take one of them away."""

    flow: str = ""
    deployment: str = ""
    tags: tuple[str, ...] = ()
    states: tuple[RunStatus, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    prefix: str = ""
    parent: UUID | None = None
    text: str = ""
    words: tuple[str, ...] = ()


def read_search(text: str, now: datetime, zone: tzinfo = UTC) -> RunSearch:
    """Read a filter; `zone` is that of instants written without one. Raises InvalidRequest, which names each mistake.

    A misspelt key is a mistake and no text: it would change which runs are meant.
    """
    problems: list[str] = []
    given: dict[str, list[object]] = {key: [] for key in KEYS}
    readers = _readers(now, zone)
    words = []
    for word, raw, quoted in _words(text):
        found = None if quoted else _KEY.fullmatch(word)
        key, value = (found[1], found[2]) if found else ("text", word)
        try:
            given[key].append(readers[key](value) if value else _nothing(key, raw))
        except KeyError:
            problems.append(_unknown(key, word))
        except ValueError as mistake:
            problems.append(str(mistake))
        words.append(raw)
    search = _search(given, tuple(words))
    if search.since and search.until and search.until <= search.since:
        problems.append("until: must be later than since:")
    if problems:
        raise InvalidRequest(
            "The filter can't be read.", problems=[Problem("filter", each) for each in problems]
        )
    return search


def split_words(text: str) -> list[str]:
    """Return the words of a filter that was understood, as they were written."""
    return [found[0] for found in _RAW.finditer(text)]


def states_for(states: tuple[RunStatus, ...], action: BulkAction | None) -> tuple[RunStatus, ...]:
    """Return the states that are meant where something is done to what a filter finds; raises InvalidRequest."""
    if action is None:
        return states
    # What is being cancelled is left alone: to wish it again does nothing.
    takes = tuple(s for s in RunStatus if action.applies_to(s) and s is not RunStatus.CANCELLING)
    useless = sorted(set(states) - set(takes))
    if useless:
        raise InvalidRequest(
            f"Runs that are {', '.join(useless)} cannot be {_PAST[action]}.",
            problems=[Problem("filter", f"state: takes {', '.join(takes)}")],
        )
    return states or takes


def quoted(value: str) -> str:
    """Write a value so that it is read as one."""
    if re.fullmatch(r"[^\s\"'\\]+", value):
        return value
    escaped = value.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def _search(given: Mapping[str, list[object]], words: tuple[str, ...]) -> RunSearch:
    def last(key: str) -> object:
        return given[key][-1] if given[key] else None

    since, until, parent = last("since"), last("until"), last("parent")
    return RunSearch(
        flow=str(last("flow") or ""),
        deployment=str(last("deployment") or ""),
        tags=tuple(map(str, dict.fromkeys(given["tag"]))),
        states=tuple(RunStatus(str(state)) for state in dict.fromkeys(given["state"])),
        since=since if isinstance(since, datetime) else None,
        until=until if isinstance(until, datetime) else None,
        prefix=str(last("id") or ""),
        parent=parent if isinstance(parent, UUID) else None,
        text=" ".join(str(each) for each in given["text"] if each),
        words=words,
    )


def _readers(now: datetime, zone: tzinfo) -> Mapping[str, Callable[[str], object]]:
    def instant(text: str) -> datetime:
        return _instant(text, now, zone)

    plain = dict.fromkeys(("deployment", "flow", "tag", "text"), _text)
    return {**plain, "since": instant, "until": instant, "state": _state, "id": _prefix, "parent": _parent}  # fmt: skip


def _words(text: str) -> list[tuple[str, str, bool]]:
    """Words as a shell reads them: what is meant, as it was written, whether it began with a quotation mark."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise InvalidRequest(
            "The filter can't be read.",
            problems=[Problem("filter", "a quotation mark has no other one that closes it")],
        ) from None
    return [
        (word, raw, raw[:1] in "'\"") for word, raw in zip(words, split_words(text), strict=True)
    ]


def _nothing(key: str, raw: str) -> str:
    if key == "text":
        return ""  # two quotation marks look for nothing
    if key not in KEYS:
        raise KeyError(key)
    raise ValueError(f"{raw!r} names nothing: write {key}:VALUE")


def _unknown(key: str, word: str) -> str:
    keys = ", ".join(f"{each}:" for each in KEYS)
    return f"{key}: is no filter.{_near(key, KEYS, ':')} There are {keys}; a text with a colon stands in quotes: '\"{word}\"'"


def _near(word: str, known: Iterable[str], mark: str = "") -> str:
    near = get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]}{mark}?" if near else ""


def _text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("the filter holds a NUL character; remove it")
    return value


def _state(value: str) -> RunStatus:
    if value in set(RunStatus):
        return RunStatus(value)
    raise ValueError(
        f"{value} is no state.{_near(value, RunStatus)} state: takes {', '.join(RunStatus)}"
    )


def _prefix(value: str) -> str:
    if _ID.fullmatch(value) and len(value.replace("-", "")) <= 32:
        return value
    raise ValueError(f"{value!r} is no beginning of an id: use 0-9, a-f and dashes")


def _parent(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise ValueError(f"{value!r} is no whole id of a run") from None


def _instant(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Read `24h` as that long ago, else ISO 8601."""
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither an instant (2026-11-22T08:00Z) nor a time ago (30m, 24h, 7d)"
        ) from None
