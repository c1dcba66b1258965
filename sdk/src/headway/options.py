"""Options of flows and tasks: their types, their checks, and how long a retry waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypedDict

from headway.errors import InvalidOption

if TYPE_CHECKING:
    from datetime import timedelta

    from headway.caching import CacheKey, CachePolicy
    from headway.completion import Exists, TargetOf
    from headway.hooks import Hook
    from headway.runners import TaskRunner
    from headway.transactions import TransactionHook

RETRY_DELAY_MAX_S = 366 * 24 * 3600.0
TIMEOUT_MAX_S = RETRY_DELAY_MAX_S
CANCEL_GRACE_MAX_S = 7 * 24 * 3600.0


class Seconds(Protocol):
    """A `datetime.timedelta`, by what we need of it: importing datetime is a cost that not everybody has to bear."""

    def total_seconds(self) -> float: ...


Delay = float | Seconds
"""A length of time: a number of seconds, or a timedelta."""
DelayOf = Callable[[int], Delay]
"""The wait after the failed try of that number (from 1)."""
RetryCondition = Callable[[Any, Exception], bool]
"""Takes the task and the error; whether another try makes sense."""
RunName = str | Callable[[Mapping[str, Any]], str]
"""A template over the arguments (`"load {table}"`), or a function of them (a mapping by name)."""
JournalKey = Callable[[Mapping[str, Any]], str]
Durable = Literal["group", "sync"]
ResultCodec = Literal["json", "pickle"]
OnLost = Literal["retry", "hold", "fail"]
Isolation = Literal["process", "reuse"]
OnCodeChange = Literal["trust", "rerun", "ask"]


class CommonOptions(TypedDict, total=False):
    """What flows and tasks have in common."""

    name: str | None
    description: str | None
    version: str | None
    tags: Iterable[str]
    retries: int
    timeout: float | timedelta | None
    log_prints: bool | None
    on_running: Hook | Sequence[Hook]
    on_completion: Hook | Sequence[Hook]
    on_failure: Hook | Sequence[Hook]
    on_cancellation: Hook | Sequence[Hook]


class TaskOptions(CommonOptions, total=False):
    """Options of `@task`; `headway.task` tells what each does."""

    task_run_name: RunName | None
    retry_delay: float | timedelta | Sequence[float | timedelta] | DelayOf
    retry_jitter: float
    retry_on: type[Exception] | tuple[type[Exception], ...] | RetryCondition | None
    key: JournalKey | None
    durable: Durable
    result: ResultCodec
    cache: CachePolicy | CacheKey | None
    cache_expires: float | timedelta | None
    refresh_cache: bool | None
    target: str | Exists | TargetOf | None
    on_commit: TransactionHook | Sequence[TransactionHook]
    on_rollback: TransactionHook | Sequence[TransactionHook]


class FlowOptions(CommonOptions, total=False):
    """Options of `@flow`; `headway.flow` tells what each does."""

    flow_run_name: RunName | None
    retry_delay: float | timedelta | Sequence[float | timedelta] | DelayOf
    on_lost: OnLost
    isolation: Isolation
    max_runs_per_process: int | None
    max_memory_mb: int | None
    cancel_grace: float | timedelta
    on_code_change: OnCodeChange
    on_crashed: Hook | Sequence[Hook]
    task_runner: TaskRunner | None


_COMMON: Final[dict[str, Any]] = {
    "name": None,
    "description": None,
    "version": None,
    "tags": (),
    "retries": 0,
    "retry_delay": 0.0,
    "timeout": None,
    "log_prints": None,
    "on_running": (),
    "on_completion": (),
    "on_failure": (),
    "on_cancellation": (),
}
TASK_DEFAULTS: Final[dict[str, Any]] = {
    **_COMMON,
    "task_run_name": None,
    "retry_jitter": 0.0,
    "retry_on": None,
    "key": None,
    "durable": "group",
    "result": "json",
    "cache": None,
    "cache_expires": None,
    "refresh_cache": None,
    "target": None,
    "on_commit": (),
    "on_rollback": (),
}
FLOW_DEFAULTS: Final[dict[str, Any]] = {
    **_COMMON,
    "flow_run_name": None,
    "on_lost": "retry",
    "isolation": "process",
    "max_runs_per_process": None,
    "max_memory_mb": None,
    "cancel_grace": 5.0,
    "on_code_change": "trust",
    "on_crashed": (),
    "task_runner": None,
}


_ELSEWHERE: Final[Mapping[str, str]] = {
    "retry_delay_seconds": "write retry_delay=, in seconds",
    "retry_jitter_factor": "write retry_jitter=",
    "retry_condition_fn": "write retry_on=",
    "max_retries": "write retries=",
    "retry_policy": "write retries= and retry_delay=exponential(...)",
    "timeout_seconds": "write timeout=, in seconds",
    "execution_timeout": "write timeout=",
    "start_to_close_timeout": "write timeout=",
    "cache_policy": "write cache=",
    "cache_key_fn": "write cache=, which takes a function, too",
    "cache_expiration": "write cache_expires=",
    "on_failure_callback": "write on_failure=",
    "on_success_callback": "write on_completion=",
    "trigger_rule": "hand over allow_failure(future) where a failure above shall not matter",
    "depends_on_past": "wait for the earlier run, or give the deployment's pool one slot",
    "task_id": "write name=",
    "dag_id": "write name=",
    "schedule": "runs of a deployment begin when they are asked for: `headway run NAME --due`",
    "persist_result": "leave it out: results are kept",
}
"""What other tools' options are here."""


def _instead(name: str) -> str:
    found = _ELSEWHERE.get(name)
    return f" ({found})" if found else ""


def merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options, those given last counting. TypeError for one that does not exist."""
    for name in given:
        if name not in before:
            raise TypeError(
                f"there is no option {name!r}{_instead(name)}; there are: {', '.join(sorted(before))}"
            )
    return {**before, **given}


class exponential(NamedTuple):  # noqa: N801 - reads as a word in the decorator that it is made for
    """Delays that grow: `retry_delay=exponential(1, longest=60)` waits 1, 2, 4 ... 60, 60 seconds.

    Together with `retry_jitter`, calls that fail at one moment do not all come back at one moment.
    """

    first: float = 1.0
    """Seconds before the first retry."""
    factor: float = 2.0
    """Multiplies each further wait."""
    longest: float = RETRY_DELAY_MAX_S
    """No wait is longer, in seconds."""

    def __call__(self, failed_try: int) -> float:
        try:
            return min(self.longest, self.first * self.factor ** (failed_try - 1))
        except OverflowError:  # powers grow without bound, floats do not
            return self.longest


class Retries:
    """How often a failed call is tried again, after which wait, and for which errors.

    `delay`: one length of time, one for each retry (the last one repeats), or a function of the failed try's number.
    `jitter` lengthens each wait at random by up to that fraction. `on`: as the option `retry_on`.
    """

    __slots__ = ("_delay_of", "_on", "delays", "jitter", "limit")

    def __init__(self, limit: int, delay: Any = 0.0, jitter: float = 0.0, on: Any = None) -> None:
        self.limit = _whole("retries", limit)
        self.jitter = _number("retry_jitter", jitter, at_least=0.0)
        self._delay_of: DelayOf | None = delay if callable(delay) else None
        self.delays = () if self._delay_of else _delays(delay)
        self._on = _condition(on)

    def delay_us(self, failed_try: int, draw: Callable[[], float]) -> int:
        """Microseconds to wait after try number `failed_try` (from 1); `draw` gives numbers in [0, 1).

        Raises InvalidOption when the user's function gives no length of time.
        """
        if self._delay_of is not None:
            base = seconds("retry_delay", self._delay_of(failed_try))
        else:
            base = self.delays[min(failed_try, len(self.delays)) - 1]
        jittered = base * (1.0 + self.jitter * draw()) if self.jitter else base
        return round(min(jittered, RETRY_DELAY_MAX_S) * 1e6)

    def listed(self) -> tuple[float, ...]:
        """The delays in seconds as a list, one for each retry or one for all: what leaves this process."""
        if self._delay_of is None:
            return self.delays
        tries = range(1, self.limit + 1)
        return tuple(seconds("retry_delay", self._delay_of(n)) for n in tries) or (0.0,)

    def wants(self, target: Any, error: Exception) -> bool:
        """Whether this error is worth another try. Raises what the user's condition raises."""
        return self._on is None or bool(self._on(target, error))


def _condition(on: Any) -> RetryCondition | None:
    kinds = on if isinstance(on, tuple) else (on,)
    if on is not None and all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds
    ):
        return lambda _target, error: isinstance(error, kinds)
    if on is None or (callable(on) and not isinstance(on, type)):
        condition: RetryCondition | None = on
        return condition
    raise InvalidOption(
        f"retry_on must be an exception class, a tuple of them, or a function of task and error, not {on!r}"
    )


def _delays(delay: Any) -> tuple[float, ...]:
    given = delay if isinstance(delay, list | tuple) else (delay,)
    return tuple(seconds("retry_delay", each) for each in given) or (0.0,)


def seconds(name: str, value: object) -> float:
    """A length of time as seconds, at least 0. Raises InvalidOption."""
    length = getattr(value, "total_seconds", None)
    return _number(name, value if length is None else length(), at_least=0.0)


def clean_timeout(value: object) -> float | None:
    """Seconds, or None for no limit."""
    if value is None:
        return None
    length = seconds("timeout", value)
    if not 0 < length <= TIMEOUT_MAX_S:
        raise InvalidOption(f"timeout must be more than 0 and at most a year, not {value!r}")
    return length


def clean_grace(value: object) -> float:
    """Seconds that a cancelled attempt has for its own end."""
    length = seconds("cancel_grace", value)
    if not 0 < length <= CANCEL_GRACE_MAX_S:
        raise InvalidOption(f"cancel_grace must be more than 0 and at most a week, not {value!r}")
    return length


def clean_expiry(value: object) -> float | None:
    """Seconds after which a cached result counts no more; None: never."""
    if value is None:
        return None
    length = seconds("cache_expires", value)
    if length == 0:
        raise InvalidOption("cache_expires must be more than 0; without a cache there is no option")
    return length


def _number(name: str, value: object, *, at_least: float) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not at_least <= value < float("inf")
    ):
        raise InvalidOption(f"{name} must be a number of at least {at_least:g}, not {value!r}")
    return float(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidOption(f"{name} must be a whole number of at least 0, not {value!r}")
    return value


def positive(name: str, value: object) -> int:
    number = _whole(name, value)
    if number == 0:
        raise InvalidOption(f"{name} must be at least 1")
    return number


def choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InvalidOption(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def clean_name(given: str | None, fn: Callable[..., Any]) -> str:
    name: object = fn.__name__ if given is None else given
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 200:
        raise InvalidOption(f"name must be 1 to 200 printable characters, not {name!r}")
    return name


def clean_version(given: object) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not given.isprintable() or len(given) > 200:
        raise InvalidOption(f"version must be at most 200 printable characters, not {given!r}")
    return given


def clean_run_name(option: str, given: object) -> RunName | None:
    """Checked for its form alone: which names it may use, the arguments will tell."""
    if given is None or callable(given):
        return given
    if not isinstance(given, str) or not given:
        raise InvalidOption(f"{option} must be a template or a function, not {given!r}")
    return given


def clean_flag(name: str, given: object) -> bool | None:
    if given is not None and not isinstance(given, bool):
        raise InvalidOption(f"{name} must be True or False, not {given!r}")
    return given


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise InvalidOption(f"tags must be a list of strings: [{tags!r}]")
    listed: tuple[object, ...] = tuple(tags)
    texts = {tag for tag in listed if isinstance(tag, str) and tag}
    if texts != set(listed):
        raise InvalidOption(f"tags must be non-empty strings, not {listed!r}")
    return tuple(sorted(texts))


def clean_description(given: str | None, fn: Callable[..., Any]) -> str:
    """The option, else the docstring without its indentation."""
    if given is not None:
        return given
    lines = (fn.__doc__ or "").strip().splitlines()
    return "\n".join(line.strip() for line in lines)
