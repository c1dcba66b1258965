"""A flow that leaves artifacts, points and an event, and waits at a gate in the middle."""

import time
from pathlib import Path

from headway import ProcessRunner, artifacts, emit_event, flow, metrics, task


@task
def load(n: int) -> int:
    for step in range(2000):
        metrics.record("rows", n + step, unit="rows")
    artifacts.markdown(f"part {n}", key=f"part-{n}")
    return n


@flow(task_runner=ProcessRunner(max_workers=2))
def leaves(key: str, gate: str) -> int:
    bar = artifacts.progress(key="bar", description="files")
    artifacts.markdown("# Report", key="report", description="figures")
    artifacts.table([{"region": "eu", "rows": 7}], key="by-region")
    parts = load.map([1, 2]).result()
    for n in range(1000):
        metrics.record("loss", 1 / (n + 1), step=n)
        bar.update(n / 20)
    emit_event("file arrived", key=key, value={"parts": len(parts)})
    while not Path(gate).exists():
        time.sleep(0.02)
    bar.update(80)
    emit_event("file arrived", key=key, value="again")
    return len(parts)
