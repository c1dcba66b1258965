"""Which waits of a run have an answer: a column beside those of its row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, LargeBinary, func, select
from sqlalchemy.sql.elements import Label

from headway_control_plane.db.tables import run, run_answer


def answered() -> Label[Any]:
    """Return `answered`, an array of calls. A run that waits for nothing has none, and costs no look."""
    calls = (
        select(run_answer.c.call)
        .where(
            func.octet_length(run.c.waits) > 0,
            run_answer.c.ws == run.c.ws,
            run_answer.c.run == run.c.run,
        )
        .correlate(run)
    )
    return func.array(calls.scalar_subquery(), type_=ARRAY(LargeBinary())).label("answered")
