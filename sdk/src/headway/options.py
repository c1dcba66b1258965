"""Options of flows and tasks: their checks, and how long a retry waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from headway.errors import InvalidOption

UNSET: Final[Any] = object()
"""An option that was not given; `with_options` keeps what it was."""

RETRY_DELAY_MAX_S = 366 * 24 * 3600.0

Delay = float | Sequence[float]


class Retries:
    """How often a failed call is tried again, and after which wait.

    `delay`: seconds, or one number for each retry (the last one repeats). `backoff` multiplies the delay with each
    further retry. `jitter` lengthens each wait at random by up to that fraction.
    """

    __slots__ = ("backoff", "delays", "jitter", "limit")

    def __init__(self, limit: int, delay: Delay, backoff: float, jitter: float) -> None:
        self.limit = _whole("retries", limit)
        self.delays = _delays(delay)
        self.backoff = _number("retry_backoff", backoff, at_least=1.0)
        self.jitter = _number("retry_jitter", jitter, at_least=0.0)

    def delay_us(self, failed_try: int, draw: Callable[[], float]) -> int:
        """Microseconds to wait after try number `failed_try` (from 1); `draw` gives numbers in [0, 1)."""
        base = self.delays[min(failed_try, len(self.delays)) - 1]
        grown = base * _power(self.backoff, failed_try - 1) if base else 0.0
        jittered = grown * (1.0 + self.jitter * draw()) if self.jitter else grown
        return round(min(jittered, RETRY_DELAY_MAX_S) * 1e6)


def _power(base: float, exponent: int) -> float:
    """Powers grow without bound, floats do not."""
    try:
        return base**exponent
    except OverflowError:
        return float("inf")


def _delays(delay: Delay) -> tuple[float, ...]:
    given = (delay,) if isinstance(delay, int | float) else tuple(delay)
    return tuple(_number("retry_delay", each, at_least=0.0) for each in given) or (0.0,)


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
