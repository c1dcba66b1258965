"""Numbers over time that a run records: losses, rows a second, sizes. The run's page draws them."""

from __future__ import annotations

from headway.context import current_call
from headway.errors import OutputRefused

MOST_NAME = 200
MOST_UNIT = 20


def record(name: str, value: float, *, step: int | None = None, unit: str = "") -> None:
    """Records one point of a metric, now. Any number of times: of very many in a short time the smallest and largest are kept.

    In a flow's body a point is recorded once over all attempts; a task that is tried again records its points anew, in the place
    of the earlier ones. Outside a run nothing is recorded.

    Args:
        name: As `loss`; at most 200 characters, and 100 names a run.
        value: The number. What is not finite leaves a gap, which the run's page counts.
        step: What the chart draws it over, as an epoch; without it, over time. For all points of a metric or for none.
        unit: As `s` or `rows`, at most 20 characters.

    Raises:
        OutputRefused: No number, a wrong name, or too many names; the message says what to do.
    """
    if not _is_word(name, MOST_NAME) or not name:
        raise OutputRefused(
            f"a metric's name has 1 to {MOST_NAME} printable characters, not {name!r}"
        )
    if not _is_word(unit, MOST_UNIT):
        raise OutputRefused(f"a metric's unit has at most {MOST_UNIT} printable characters")
    if step is not None and not _is_step(step):
        raise OutputRefused(f"a step is a whole number from 0, not {step!r}")
    call = current_call()
    number = _number(name, value)
    if call is not None:
        call.engine.record_metric(call, name, unit, number, step)


def _number(name: str, value: object) -> float:
    """Also of what only behaves like a number, as numpy's do."""
    try:
        return float(value)  # type: ignore[arg-type] # that is the question
    except (TypeError, ValueError, OverflowError):
        raise OutputRefused(
            f"the metric {name!r} takes a number, not {type(value).__name__}"
        ) from None


def _is_word(text: object, most: int) -> bool:
    return isinstance(text, str) and len(text) <= most and text.isprintable()


def _is_step(step: object) -> bool:
    return isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 1 << 53
