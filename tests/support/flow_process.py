"""A real flow process with this test as its supervisor: it collects frames and checks each against the schema."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema

from headway.runtime.frames_log import Writer

SCHEMA_FILE = Path(__file__).parents[2] / "proto/headway_api/ipc/v1/frames.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
DEADLINE_S = 30.0

_CHILD = """
import json, socket, sys
from headway.runtime.child import run_attempt
start, fd = json.loads(sys.argv[1]), int(sys.argv[2])
sys.exit(run_attempt(start, socket.socket(fileno=fd)))
"""

Frame = dict[str, Any]


class FlowProcess:
    """One attempt under way."""

    def __init__(self, start: dict[str, Any], *, confirms: bool = True) -> None:
        self._confirms = confirms
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, json.dumps(start), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._sock = ours
        self._news = threading.Condition()
        self.frames: list[Frame] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self._sock.makefile("rb") as stream:
            try:
                while len(header := stream.read(4)) == 4:
                    frame = json.loads(stream.read(int.from_bytes(header, "big")))
                    with self._news:
                        self.frames.append(frame)
                        self._news.notify_all()
                    if self._confirms and frame.get("durable") == "sync":
                        self.confirm(frame["call"])
            except (OSError, ValueError):
                return  # the test has hung up

    def seen(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame of this kind, as soon as it is there."""
        with self._news:
            found = self._news.wait_for(
                lambda: next((f for f in self.frames if wanted(f)), None), DEADLINE_S
            )
        assert found is not None, f"no such frame among {self.frames}"
        return found

    def cancel(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)

    def confirm(self, call: str) -> None:
        """What the supervisor says once the call's end is on disk."""
        body = json.dumps({"type": "durable", "call": call}).encode()
        self._sock.sendall(len(body).to_bytes(4, "big") + body)

    def hang_up(self) -> None:
        """The supervisor is gone."""
        self._sock.shutdown(socket.SHUT_RDWR)

    def finish(self) -> "Outcome":
        out, err = self.process.communicate(timeout=DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self._sock.close()
        for frame in self.frames:
            VALIDATOR.validate(frame)
        return Outcome(self.process.returncode, self.frames, out, err)

    def finish_and_keep(self, project: "Project") -> "Outcome":
        """As the supervisor of a run that is not the test's main one: the next attempt does not see its journal unasked."""
        outcome = self.finish()
        project.keep(outcome.frames)
        return outcome


class Outcome:
    """What an attempt left behind."""

    def __init__(self, code: int, frames: list[Frame], out: str, err: str) -> None:
        self.code = code
        self.frames = frames
        self.out = out
        self.err = err

    @property
    def ended(self) -> Frame:
        assert self.frames, self.err
        assert self.frames[-1]["type"] == "attempt.ended", (self.frames, self.err)
        return self.frames[-1]

    @property
    def outcome(self) -> str:
        return str(self.ended["outcome"])

    def of(self, kind: str, name: str = "") -> list[Frame]:
        return [f for f in self.frames if f["type"] == kind and (not name or f["name"] == name)]

    def outcomes(self, name: str = "") -> list[str]:
        return [f["outcome"] for f in self.of("call.ended", name)]

    def logs(self) -> list[str]:
        return [f["text"] for f in self.of("log")]


class Project:
    """A directory with a flow module, and the run directories of its attempts."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.root.mkdir()
        self.runs = root / "runs"
        self.store = root / "store"
        self.logs: list[str] = []

    def write(self, source: str, module: str = "flows") -> None:
        header = "import headway\nfrom headway import *\nfrom pathlib import Path\n"
        text = header + textwrap.dedent(source)
        (self.root / f"{module}.py").write_text(text, encoding="utf-8", errors="surrogatepass")

    def start(
        self, parameters: dict[str, Any] | None = None, *, confirms: bool = True, **changes: Any
    ) -> FlowProcess:
        fence = len(self.logs) + 1
        run_dir = self.runs / str(fence)
        run_dir.mkdir(parents=True)
        start = {
            "protocol": 1,
            "run": "run-1",
            "fence": fence,
            "run_name": "brisk-otter",
            "flow": "main",
            "deployment": "main/test",
            "entrypoint": "flows:main",
            "root": str(self.root),
            "environment": "test",
            "env": {"FROM_START": "yes"},
            "parameters": parameters or {},
            "journal": list(self.logs),
            "store": str(self.store),
            "run_dir": str(run_dir),
            **changes,
        }
        return FlowProcess(start, confirms=confirms)

    def keep(self, frames: list[Frame]) -> None:
        """Writes an attempt's facts to its frames.log, as a supervisor does."""
        run_dir = self.runs / str(len(self.logs) + 1)
        writer = Writer.create(run_dir / "frames.log")
        writer.append(json.dumps(f).encode() for f in frames if f["type"] != "log")
        writer.commit()
        writer.close()
        self.logs.append(str(run_dir / "frames.log"))

    def run(self, parameters: dict[str, Any] | None = None, **changes: Any) -> Outcome:
        """One attempt from start to end; the next one finds it in its journal."""
        outcome = self.start(parameters, **changes).finish()
        self.keep(outcome.frames)
        return outcome
