"""A flow that tells what it can ask about its run."""

from headway import flow, run_context


@flow(version="7.1 β", tags=["own"], retries=1, retry_delay=0)
def tells(fail: bool = True) -> list[object]:
    c = run_context()
    if fail and c.attempt == 1:
        raise ValueError("the first attempt fails")
    at = c.scheduled_time
    return [list(c.tags), at and at.isoformat(), c.run_url, c.flow_version, c.attempt]


@flow(isolation="reuse", version="kept")
def tells_again() -> list[object]:
    return tells.fn(fail=False)
