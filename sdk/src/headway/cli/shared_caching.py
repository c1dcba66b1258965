"""What the cache that agents share says: for `headway cache`, by way of the agent of this machine, which reaches the store."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.text import duration
from headway.clock import now_us
from headway.runtime.cache_store import parsed
from headway.runtime.shared_cache import TELLING

SOCKET_FILE = "cache.socket"
"""In the agent's state directory: names the socket, while an agent with a store is there."""
_TIMEOUT_S = 120


def is_shared(state: Path) -> bool:
    """Whether the agent says that it shares its cache."""
    return (state / SOCKET_FILE).exists()


def ask(state: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent answers. Raises CommandError where there is no agent, or no store."""
    head, _ = _converse(state, question)
    if head.get("reason"):
        raise CommandError(f"The shared cache: {head['reason']}.", code=Exit.REFUSED)
    return head


def verdict(state: Path, told: Mapping[str, Any]) -> str:
    """Whether a call with this key would be a hit by what other agents made, and why."""
    if "shared_key" not in told:
        return f"no: {told.get('not_shared', 'the SDK of its environment does not say how')}"
    try:
        head, rest = _converse(state, {"type": "cache.find", "key": told["shared_key"]})
    except CommandError as error:
        # What this machine keeps can be told all the same.
        return f"not known: {error}"
    if head.get("reason"):
        return f"miss: {head['reason']}{_nearest(state, told)}"
    entry = parsed(rest[: int(head["size"])])
    if entry is None or entry.key != told["shared_key"]:
        return "miss: the store's entry is not what was written"
    age_us = now_us() - entry.made_at_us
    limit_s = told["expires_s"]
    if limit_s is not None and (age_us < 0 or age_us >= limit_s * 1e6):
        return f"miss: the kept value is {duration(max(age_us, 0))} old, and expired"
    return f"hit: made by run {entry.run} {duration(max(age_us, 0))} ago"


def pool(state: Path) -> str:
    """Of this machine's agent; empty where it is too old to say it. Raises CommandError where there is no agent."""
    return str(_converse(state, {"type": "cache.pool"})[0].get("pool", ""))


def _nearest(state: Path, told: Mapping[str, Any]) -> str:
    """By what of it, other than arguments, this key differs from that of the most similar entry; entries do not tell more."""
    ours = told["shared_parts"]
    try:
        entries = ask(state, {"type": "cache.list", "task": told.get("task")})["entries"]
    except CommandError as error:
        return f" ({error})"
    theirs = [each["parts"] for each in entries if each["parts"].get("task") == ours["task"]]
    if not theirs:
        return "; the store has nothing of this task"
    names = {name for name in ours if name in TELLING}
    fewest = min((sorted(n for n in names if ours[n] != each.get(n)) for each in theirs), key=len)
    return f"; others differ in {', '.join(fewest or ['what it was called with'])}"


def _converse(state: Path, question: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        path = (state / SOCKET_FILE).read_text()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as answer:
                head: dict[str, Any] = json.loads(answer.readline())
                return head, answer.read()
    except FileNotFoundError as error:
        raise CommandError(
            f"No agent that shares its cache runs with its state in {state}.",
            hint="Start it with HEADWAY_AGENT_RESULTS, the URL of a store, or name its --state-dir",
            code=Exit.REFUSED,
        ) from error
    except (OSError, ValueError) as error:
        raise CommandError(
            f"The agent with its state in {state} does not answer: {error}.",
            hint="See whether it runs: headway agent doctor",
            code=Exit.UNREACHABLE,
        ) from error
