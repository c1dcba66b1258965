"""`headway results get`: a value out of a journal of this machine's agent, or out of the store."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headway_agent.settings import BadSetting, Settings, apply_results_env
from headway_agent.spool import kept_values
from headway_agent.spool.frames import FactLog
from headway_agent.spool.value_store import (
    StoreFault,
    ValueAbsent,
    digest_of,
    fetch,
    open_store,
)

_HEX = frozenset("0123456789abcdef")
_DIGEST_LENGTH = 64
_SHORTEST = 6


class NoResult(Exception):
    """There is nothing to write; the message says why, and what to do."""


def get(settings: Settings, what: str, call: str, file: Path) -> str:
    """Writes the encoded value (to stdout for `-`) and says what it is. Raises NoResult."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "value"
        try:
            apply_results_env(settings)
            if "://" in what:
                said = _from_reference(what, target)
            else:
                said = _from_run(settings, what, call, target)
            _write(target, file)
        except (BadSetting, StoreFault, ValueAbsent, OSError) as error:
            raise NoResult(str(error)) from error
    return said


def _write(value: Path, file: Path) -> None:
    if str(file) == "-":
        with value.open("rb") as opened:
            shutil.copyfileobj(opened, sys.stdout.buffer)
        return
    with value.open("rb") as opened, open(file, "wb", opener=_private) as target:
        shutil.copyfileobj(opened, target)


def _private(path: str, flags: int) -> int:
    """A file that is new: what a run gave may hold what nobody else is to read."""
    return os.open(path, flags, 0o600)


def _from_reference(reference: str, target: Path) -> str:
    url, _, digest = reference.rpartition("/")
    url = url.rpartition("/")[0]
    if len(digest) != _DIGEST_LENGTH or not _HEX.issuperset(digest) or not url:
        raise NoResult(f"{reference} does not end as references to results do: copy all of it")
    fetch(open_store(url), digest, target)
    return f"{target.stat().st_size} bytes from {reference}"


def _from_run(settings: Settings, run: str, call: str, target: Path) -> str:
    run = _whole_id(settings.state_dir / "runs", run)
    logs = _logs(settings.state_dir / "runs" / run) if run and "/" not in run else []
    if not logs:
        raise NoResult(
            f"this machine's agent has no journal of run {run or '(none)'} in {settings.state_dir}: run the command where the run"
            " was executed, name its --state-dir, or give the reference that the run's page shows"
        )
    found = _last(logs, call)
    if found is None:
        raise NoResult(_nothing(logs, run, call))
    frame, log = found
    result = frame["result"]
    if result.get("codec") == "none":
        raise NoResult(
            "the call completed, but its value could not be kept; the run's log says why"
        )
    _take(settings, log.parent, logs, result, target)
    name = frame.get("name", "the run")
    return f"{name}: codec {result.get('codec')}, {target.stat().st_size} bytes, SHA-256 {result.get('digest')}"


def _whole_id(runs: Path, given: str) -> str:
    """The one run on this machine whose id begins so, as lists of runs cut it; else what was given."""
    if len(given) < _SHORTEST or not _HEX.issuperset(given.replace("-", "")):
        return given
    found = [path.name for path in runs.glob(f"{given}*")]
    if len(found) > 1:
        raise NoResult(f"{len(found)} runs on this machine begin with {given}: give more of the id")
    return found[0] if found else given


def _logs(run: Path) -> list[Path]:
    found = [path for path in run.glob("*/frames.log") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: int(path.parent.name))


def _last(logs: list[Path], call: str) -> tuple[Mapping[str, Any], Path] | None:
    """The newest fact that has the result, and its log."""
    found = None
    for log in logs:
        for frame in _frames(log):
            if isinstance(frame.get("result"), dict) and _is_meant(frame, call):
                found = frame, log
    return found


def _is_meant(frame: Mapping[str, Any], call: str) -> bool:
    if not call:
        return frame.get("type") in ("attempt.ended", "attempt.exited")
    is_call = frame.get("type") == "call.ended"
    return is_call and (frame.get("name") == call or str(frame.get("call")).startswith(call))


def _frames(log: Path) -> Iterator[Mapping[str, Any]]:
    facts = FactLog(log)
    after = 0
    while records := facts.read(after, 1_000, 1 << 24):
        for record in records:
            frame = json.loads(record.raw)
            if isinstance(frame, dict):
                yield frame
        after = records[-1].n


def _take(
    settings: Settings, run_dir: Path, logs: list[Path], result: Mapping[str, Any], target: Path
) -> None:
    name = result.get("file")
    if not isinstance(name, str):
        data = kept_values.inline(result)
        if data is None:
            raise NoResult("the journal is damaged: the value is not what its digest says")
        target.write_bytes(data)
        return
    for folder in (run_dir, *(log.parent for log in logs)):
        file = folder / "results" / Path(name).name
        if file.is_file() and digest_of(file) == result.get("digest"):
            shutil.copyfile(file, target)
            return
    if not settings.results:
        raise NoResult(
            f"the file {name} of this result is gone or damaged, and HEADWAY_AGENT_RESULTS names no store that may have it"
        )
    fetch(open_store(settings.results), str(result.get("digest")), target)


def _nothing(logs: list[Path], run: str, call: str) -> str:
    if not call:
        return f"run {run} has not returned anything on this machine: name one of its calls"
    names = sorted({str(f["name"]) for log in logs for f in _frames(log) if "name" in f})
    return f"run {run} has no completed call {call!r} on this machine; its calls: {', '.join(names) or 'none'}"
