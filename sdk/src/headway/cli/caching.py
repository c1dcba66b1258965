"""What the cache on this machine says, and said: for `headway cache`."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.text import duration
from headway.clock import now_us
from headway.runtime.cache_store import FOLDER, CacheStore, Entry
from headway.runtime.frames_log import read_from

_TIMEOUT = 120


def open_store(state: Path) -> CacheStore:
    """Raises CommandError where no agent keeps its state."""
    if not state.is_dir():
        raise CommandError(
            f"There is no agent's state in {state}.",
            hint="Name its directory: --state-dir DIR, or HEADWAY_AGENT_STATE_DIR",
            code=Exit.REFUSED,
        )
    return CacheStore(state / "store" / FOLDER)


def calls_of(state: Path, run: str) -> list[dict[str, Any]]:
    """The ends of a run's calls of tasks that use the cache, all attempts, in order. Raises CommandError."""
    found = sorted(path for path in (state / "runs").glob(f"{run}*") if path.is_dir())
    if len(found) != 1:
        said = "has no files of" if not found else "has several runs that begin with"
        raise CommandError(
            f"The agent in {state} {said} {run}.",
            hint="Give the run's whole id; the agent keeps files of ended runs for a week.",
            code=Exit.REFUSED,
        )
    attempts = sorted(found[0].glob("*/frames.log"), key=lambda log: int(log.parent.name))
    return [frame for log in attempts for frame in _cached_calls(log)]


def _cached_calls(log: Path) -> Iterator[dict[str, Any]]:
    for record in read_from(log):
        if b'"cache"' in record.raw:
            frame = record.frame()
            if frame["type"] == "call.ended" and "cache" in frame:
                yield frame


def ask_for_key(
    python: Path,
    task: str,
    root: Path,
    arguments: Mapping[str, Any],
    parameters: Mapping[str, Any],
    whose: Mapping[str, str],
) -> dict[str, Any]:
    """What `headway.runtime.cache_key` says, under the user's own Python. `whose`: `environment`, `project` and `pool`, where
    they are known. Raises CommandError.
    """
    command = [str(python), "-m", "headway.runtime.cache_key", task, "--root", str(root)]
    given = json.dumps({"arguments": arguments, "parameters": parameters, **whose})
    try:
        done = subprocess.run(
            command,
            cwd=root,
            input=given,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise CommandError(
            f"{python} could not say how {task} is cached: {error}.",
            hint="Name the interpreter that has headway and the flow's packages: --python PATH",
        ) from error
    if "error" in told:
        raise CommandError(f"{task}: {told['error']}", code=Exit.REFUSED)
    return told


def verdict(store: CacheStore, told: Mapping[str, Any]) -> str:
    """Whether a call with this key would be a hit now, and why."""
    entry = store.read(told["key"])
    if entry is None:
        return f"miss: nothing is kept under this key{nearest(store.entries(), told['parts'])}"
    age_us = now_us() - entry.made_at_us
    limit_s = told["expires_s"]
    if limit_s is not None and age_us < 0:
        return (
            "miss: by this machine's clock the kept value is not made yet, so nobody knows its age"
        )
    if limit_s is not None and age_us >= limit_s * 1e6:
        return f"miss: the kept value is {duration(age_us)} old, and expired"
    return f"hit: made by run {entry.run} {duration(max(age_us, 0))} ago"


def nearest(entries: Iterable[Entry], parts: Mapping[str, str]) -> str:
    """By what this key differs from the most similar one of the same task that is kept."""
    same = [entry for entry in entries if entry.parts.get("task") == parts.get("task")]
    if not same:
        return ", nor anything else of this task"
    differing = [(_differing(entry.parts, parts), entry) for entry in same]
    fewest, entry = min(differing, key=lambda pair: len(pair[0]))
    if not fewest:
        return ""
    return f"; what run {entry.run} made differs in {', '.join(fewest)}"


def _differing(kept: Mapping[str, str], parts: Mapping[str, str]) -> list[str]:
    return sorted(name for name in kept.keys() | parts.keys() if kept.get(name) != parts.get(name))
