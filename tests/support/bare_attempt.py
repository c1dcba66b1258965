"""Runs one attempt under the real template and supervisor, without an agent, and hands back what it left behind."""

import json
import time
from pathlib import Path
from typing import Any

from headway.runtime.frames_log import read
from support.attempts import TemplateProcess


def run_attempt(
    template: TemplateProcess,
    run_dir: Path,
    entrypoint: str,
    root: Path,
    parameters: dict[str, Any],
    journal: list[str] | None = None,
) -> tuple[dict[str, Any], float]:
    """The attempt's last fact, and the seconds until its supervisor was gone."""
    run_dir.mkdir(parents=True)
    start = {
        "protocol": 1,
        "run": "run-1",
        "fence": int(run_dir.name),
        "run_name": "brisk-otter",
        "flow": "main",
        "deployment": "main/bench",
        "entrypoint": entrypoint,
        "root": str(root),
        "environment": "bench",
        "env": {},
        "parameters": parameters,
        "journal": journal or [],
        "store": "",
        "wake": "",
        "cancel_grace_us": 5_000_000,
        "kill_grace_us": 5_000_000,
        "traceparent": "",
        "durable": "group",
    }
    (run_dir / "start.json").write_text(json.dumps(start))
    begun = time.monotonic()
    pid = template.spawn(run_dir)["pid"]
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.002)
    took = time.monotonic() - begun
    *_, (_, last) = read(run_dir / "frames.log")
    return last, took
