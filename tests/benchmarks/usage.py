"""CPU that processes have used: of a whole Headway by part, of a PostgreSQL server."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from support.stack import Stack


def own_cpu() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and all below it, the ended ones included."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        times = process.cpu_times()
        own = times.user + times.system + times.children_user + times.children_system
        return own + sum(tree_cpu(child.pid) for child in process.children())
    return 0.0


def cpu_by_part(stack: Stack) -> dict[str, float]:
    """CPU seconds of database, server and agent, and of everything together.

    Supervisors are nobody's to wait for, so what they and flows used is in none of these: see `attempt_cpu`.
    """
    parts = {name: tree_cpu(stack.part(name).pid) for name in ("postgres", "server", "agent")}
    return parts | {"all": tree_cpu(stack.process.pid)}


def kept_cpu(stack: Stack) -> float:
    """CPU seconds of supervisors and flows that are alive: below the templates, which are below the agent."""
    agent = psutil.Process(stack.part("agent").pid)
    return sum(tree_cpu(kept.pid) for template in agent.children() for kept in template.children())


def attempt_cpu(folder: Path, count: int) -> float:
    """CPU seconds of a no-op attempt's supervisor and flow, measured apart from the rest."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    program = Path(__file__).with_name("load_template.py")
    done = subprocess.run(
        [sys.executable, program, folder, str(count)],
        env=environment,
        check=True,
        capture_output=True,
    )
    return float(json.loads(done.stdout)["attempt"])
