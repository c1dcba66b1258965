"""Attempts of one run in this process: the real engine and journal, each attempt finding what the one before wrote."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from headway.context import Call
from headway.digests import ROOT
from headway.futures import resolve
from headway.pool import Pool
from headway.runtime.cancellation import Cancellation
from headway.runtime.engine import JournalEngine
from headway.runtime.failures import ErrorDescriber
from headway.runtime.frames_log import Writer
from headway.runtime.journal import Journal
from headway.runtime.reporter import Reporter
from headway.runtime.results import ResultWriter


class Frames:
    """Stands where the supervisor is."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, frame: dict[str, Any]) -> None:
        self.sent.append(json.loads(json.dumps(frame)))

    def wait_durable(self, call: str) -> None: ...


class Line:
    """The attempts of one run, in this process; each may find only the first facts of the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs: list[str] = []

    def attempt(self, body: Any, *args: Any, keep: int | None = None, **options: Any) -> Any:
        fence = len(self.logs) + 1
        run_dir = self.folder / str(fence)
        run_dir.mkdir()
        frames = Frames()
        reporter = Reporter(frames, lambda: fence, ErrorDescriber(""), ResultWriter(run_dir))
        cuts = options.pop("cuts", ())
        engine = JournalEngine(
            {"run": "r", "fence": fence, "run_name": "", "flow": "", "deployment": ""},
            reporter,
            Journal.load(self.logs, "", cuts),
            Cancellation(),
            Pool(4, daemon=True),
            Random(fence),
            "salt",
            **options,
        )
        root = Call(engine, ROOT, ROOT, "flow", body.name, on_loop=False)
        value = resolve(engine.run_root(root, body, args, {}))
        self.ends = [frame for frame in frames.sent if frame["type"] == "call.ended"]
        log = run_dir / "frames.log"
        writer = Writer.create(log)
        writer.append(json.dumps(frame).encode() for frame in self.ends[:keep])
        writer.commit()
        writer.close()
        self.logs.append(str(log))
        return value

    def executed(self) -> int:
        return sum(frame["outcome"] == "completed" for frame in self.ends)
