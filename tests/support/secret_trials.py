"""Attempts of one run under the real supervisor, its secrets in a directory; and all that they left on the disk."""

import base64
import json
import os
from pathlib import Path
from typing import Any

from headway.runtime.frames_log import read
from support.attempts import lines_of, template, wait_dead
from support.flow_process import VALIDATOR, Project

CHILD = "headway.runtime.child:run_attempt"
VALUE = "sw0rd f/ish\"é'7\\n"
LINES = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQDAQxSd\n-----END KEY-----"


class Trial:
    """Attempts of one run, its secrets in a directory."""

    def __init__(self, project: Project, tmp_path: Path) -> None:
        self.project = project
        self.secrets = tmp_path / "secrets"
        self.secrets.mkdir(mode=0o700)
        self.put("db-password", VALUE)
        self.logs: list[str] = []
        self.run_dir = Path()

    def put(self, name: str, value: str, mode: int = 0o600) -> None:
        path = self.secrets / name
        path.write_text(value + "\n", encoding="utf-8")
        path.chmod(mode)

    def attempt(
        self,
        parameters: dict[str, Any] | None = None,
        *,
        shared_cache: str = "",
        told: dict[str, Any] | None = None,
        **configured: Any,
    ) -> "Attempt":
        fence = len(self.logs) + 1
        self.run_dir = self.project.runs / str(fence)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        start = {
            "protocol": 1,
            "run": "run-1",
            "fence": fence,
            "run_name": "brisk-otter",
            "flow": "main",
            "deployment": "main/test",
            "entrypoint": "flows:main",
            "root": str(self.project.root),
            "environment": "test",
            "env": {"PATH": os.environ["PATH"]},
            "parameters": parameters or {},
            "journal": list(self.logs),
            "store": str(self.project.store),
            "secrets": {"directory": str(self.secrets), **configured},
            **({"shared_cache": shared_cache, "pool": "p"} if shared_cache else {}),
            **(told or {}),
        }
        (self.run_dir / "start.json").write_text(json.dumps(start))
        with template(child=CHILD, **dict.fromkeys(configured.get("kept", ()), VALUE)) as one:
            wait_dead(one.spawn(self.run_dir)["pid"])
        self.logs.append(str(self.run_dir / "frames.log"))
        return Attempt(self.run_dir)


class Attempt:
    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.facts = [frame for _, frame in read(run_dir / "frames.log")]
        self.lines = [line["text"] for line in lines_of(run_dir)]
        for fact in self.facts:
            VALIDATOR.validate(fact)

    @property
    def ended(self) -> dict[str, Any]:
        return next(f for f in self.facts if f["type"] == "attempt.ended")

    def of(self, kind: str, name: str) -> list[dict[str, Any]]:
        return [f for f in self.facts if f["type"] == kind and f.get("name") == name]

    def on_disk(self) -> bytes:
        """All that stands in the attempt's directory, but what results hold: those are for the next attempt."""
        (self.run_dir / "start.json").read_text()
        stripped = []
        for fact in self.facts:
            shown = json.loads(json.dumps(fact))
            shown.get("result", {}).pop("data", None)
            stripped.append(json.dumps(shown, ensure_ascii=False))
        others = [
            path.read_bytes()
            for path in sorted(self.run_dir.rglob("*"))
            if path.is_file() and path.name != "frames.log" and path.parent.name != "results"
        ]
        return "\n".join(stripped).encode() + b"\n".join(others)


def forms(value: str = VALUE) -> list[bytes]:
    raw = value.encode()
    return [
        raw,
        repr(value)[1:-1].encode(),
        json.dumps(value)[1:-1].encode(),
        json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        base64.b64encode(raw)[:16],
        raw.hex().encode(),
        b"sw0rd%20f",
        b"sw0rd+f",
    ]


def assert_nothing_shows(attempt: Attempt, value: str = VALUE) -> None:
    content = attempt.on_disk()
    assert [form for form in forms(value) if form in content] == []
