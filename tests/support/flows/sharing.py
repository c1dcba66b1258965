"""Flows of runs that share results and of transactions that are disturbed: each execution of a body leaves a word in `log`.

What has to wait, waits for the file `gate`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from headway import TransactionStep, flow, run_context, task, transaction


def say(log: str, word: str) -> None:
    with Path(log).open("a") as file:
        file.write(f"{word}\n")


def wait_for(gate: str) -> None:
    while not os.path.exists(gate):  # noqa: PTH110 (a hundred looks a second)
        time.sleep(0.01)


@task(cache=lambda arguments: arguments["log"])
def load(log: str, gate: str) -> str:
    say(log, f"load {run_context().run}")
    wait_for(gate)
    return run_context().run


@flow
def shares(log: str, gate: str, expires: float | None = None, refresh: bool = False) -> str:
    return load.with_options(cache_expires=expires, refresh_cache=refresh)(log, gate)


def publish(step: TransactionStep) -> None:
    say(step.transaction.get("log"), f"publish {step.value}")
    wait_for(step.transaction.get("hooks"))


def remove(step: TransactionStep) -> None:
    log = step.transaction.get("log")
    say(log, f"remove {step.value}")
    wait_for(step.transaction.get("hooks"))
    say(log, f"removed {step.value}")


@task(on_commit=publish, on_rollback=remove)
def stage(log: str, table: str) -> str:
    say(log, f"stage {table}")
    return table


def _staged(log: str, gate: str, hooks: str) -> str:
    with transaction() as work:
        work.set("log", log)
        work.set("hooks", hooks)
        stage(log, "a")
        stage(log, "b")
        say(log, "staged")
        wait_for(gate)
    return "loaded"


@flow(retries=2)
def staged(log: str, gate: str, hooks: str) -> str:
    """`gate` lets the block end, `hooks` the hooks."""
    return _staged(log, gate, hooks)


@flow(cancel_grace=120)
def staged_patiently(log: str, gate: str, hooks: str) -> str:
    return _staged(log, gate, hooks)
