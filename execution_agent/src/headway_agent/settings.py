"""What the operator decides: options first, then HEADWAY_* variables, then defaults. The one reader of the environment."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULT_MAX = 1 << 30
"""Bytes of one result's encoded value; a call with more fails."""
_UNITS = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}
ENVIRONMENTS_FILE = "environments.toml"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class BadSetting(ValueError):
    """A setting can't be used; the message names it and says what to write."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; None or empty where it said nothing."""

    server: str | None = None
    insecure: bool = False
    ca: Path | None = None
    pool: str | None = None
    name: str | None = None
    slots: int | None = None
    state_dir: Path | None = None
    roots: Sequence[Path] = ()
    environments: Path | None = None
    token_file: Path | None = None
    token_fd: int | None = None
    tap: Path | None = None
    log_level: str | None = None
    drain_wait: bool = False
    parent_fd: int | None = None
    allow_faults: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`server` is empty when nobody named it: then the enrolment did. `reconnect_cap`: longest pause between dials; the control plane's
    `reassign_after` is to be three times as long, or more. `base_env` is what flows inherit from. `allow_faults` is for tests.
    """

    server: str
    insecure: bool
    ca: Path | None
    proxy: str
    pool: str
    name: str
    host: str
    slots: int
    state_dir: Path
    roots: tuple[Path, ...]
    environments: Path
    token_file: Path | None
    token_fd: int | None
    tap: Path | None
    lease_history: Path | None
    log_level: str
    drain_wait: bool
    parent_fd: int | None
    reconnect_cap: float
    allow_faults: Path | None
    result_max: int
    results: str
    base_env: Mapping[str, str] = field(repr=False)


def load(options: Options, environ: Mapping[str, str] | None = None) -> Settings:
    env = dict(os.environ) if environ is None else dict(environ)
    home = Path(env.get("HEADWAY_HOME") or Path.home() / ".headway")
    state_dir = options.state_dir or _path(env, "HEADWAY_AGENT_STATE_DIR") or home / "agent"
    return Settings(
        server=options.server or env.get("HEADWAY_AGENT_SERVER", ""),
        insecure=options.insecure or _flag(env, "HEADWAY_AGENT_INSECURE"),
        ca=options.ca or _path(env, "HEADWAY_AGENT_CA"),
        # gRPC reads the lower-case variables itself.
        proxy=env.get("HTTPS_PROXY", "") if "https_proxy" not in env else "",
        pool=options.pool or env.get("HEADWAY_AGENT_POOL", ""),
        name=options.name or env.get("HEADWAY_AGENT_NAME", ""),
        host=os.uname().nodename,
        slots=_slots(options, env),
        state_dir=state_dir,
        roots=_roots(options, env),
        environments=options.environments
        or _path(env, "HEADWAY_AGENT_ENVIRONMENTS")
        or state_dir / ENVIRONMENTS_FILE,
        token_file=options.token_file or _path(env, "HEADWAY_AGENT_TOKEN_FILE"),
        token_fd=options.token_fd,
        tap=options.tap or _path(env, "HEADWAY_AGENT_TAP"),
        lease_history=_inside(state_dir, _path(env, "HEADWAY_AGENT_LEASE_HISTORY")),
        log_level=_level(options.log_level or env.get("HEADWAY_LOG_LEVEL", "INFO")),
        drain_wait=options.drain_wait or _flag(env, "HEADWAY_AGENT_DRAIN_WAIT"),
        parent_fd=options.parent_fd,
        allow_faults=options.allow_faults or _path(env, "HEADWAY_AGENT_ALLOW_FAULTS"),
        reconnect_cap=_seconds(env, "HEADWAY_RECONNECT_CAP", 15.0),
        result_max=_bytes(env, "HEADWAY_AGENT_RESULT_MAX", RESULT_MAX),
        results=env.get("HEADWAY_AGENT_RESULTS", ""),
        base_env=env,
    )


def prepare_grpc() -> None:
    """Must run before gRPC is imported. The agent starts programs and never forks itself, so gRPC's fork handlers
    would only be in the way; what it says of itself below an error is nothing that an operator can use.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def apply_results_env(settings: Settings) -> None:
    """Puts the variables of HEADWAY_AGENT_RESULTS_ENV into this process alone: what reaches the store of results is the
    agent's, and flows inherit what the agent's environment was before. Raises BadSetting.
    """
    name = settings.base_env.get("HEADWAY_AGENT_RESULTS_ENV", "")
    if not name:
        return
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BadSetting(f"HEADWAY_AGENT_RESULTS_ENV can't be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not key.strip().isidentifier():
            raise BadSetting(f"{name}, line {number}: write NAME=value.")
        os.environ[key.strip()] = value.strip()


def read_token(settings: Settings) -> str | None:
    """The enrolment token from its file or descriptor; None when neither was named. It is never an argument, for
    every user of the machine can read those.
    """
    if settings.token_fd is not None:
        with os.fdopen(settings.token_fd, closefd=True) as file:
            return file.read().strip()
    if settings.token_file is None:
        return None
    if str(settings.token_file) == "-":
        return sys.stdin.readline().strip()
    try:
        return settings.token_file.read_text().strip()
    except OSError as error:
        raise BadSetting(
            f"The token file can't be read: {error}. Name it with --token-file."
        ) from error


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").lower()
    if value not in ("", "0", "1", "true", "false"):
        raise BadSetting(f"{name} is {value!r}: write true or false.")
    return value in ("1", "true")


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3_600:
        raise BadSetting(f"{name} is {text!r}: write seconds, above 0 and below an hour.")
    return seconds


def _bytes(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    match = re.fullmatch(r"(\d{1,18})\s*(|KiB|MiB|GiB)", text.strip()) if text else None
    if text and (match is None or not int(match[1])):
        raise BadSetting(f"{name} is {text!r}: write a size, as 500 MiB or 2 GiB.")
    return int(match[1]) << _UNITS[match[2]] if match else default


def _slots(options: Options, env: Mapping[str, str]) -> int:
    if options.slots is not None:
        slots = options.slots
    else:
        text = env.get("HEADWAY_AGENT_SLOTS", "")
        if text and not text.isdecimal():
            raise BadSetting(f"HEADWAY_AGENT_SLOTS is {text!r}: write a whole number.")
        slots = int(text) if text else os.cpu_count() or 1
    if not 1 <= slots <= 1_000:
        raise BadSetting(f"{slots} slots: an agent has 1 to 1000.")
    return slots


def _roots(options: Options, env: Mapping[str, str]) -> tuple[Path, ...]:
    roots = list(options.roots)
    if not roots:
        texts = env.get("HEADWAY_AGENT_ROOTS", "").split(os.pathsep)
        roots = [Path(text) for text in texts if text] or [Path.cwd()]
    for root in roots:
        if not root.is_dir():
            raise BadSetting(
                f"The root {root} is no directory: name one that holds flows, with --root."
            )
    return tuple(root.resolve() for root in roots)


def _inside(folder: Path, path: Path | None) -> Path | None:
    """A relative path lies in the state directory: several agents of a machine may share their environment."""
    return None if path is None else folder / path


def _level(text: str) -> str:
    level = text.upper()
    if level not in _LEVELS:
        raise BadSetting(f"The log level {text!r} is unknown: write one of {', '.join(_LEVELS)}.")
    return level
