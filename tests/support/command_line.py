"""The command `headway` as a process of its own."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Finished:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class CommandLine:
    """Runs verbs with a home of their own; nothing of the caller's environment that could matter is passed on."""

    url: str
    key: str
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "HEADWAY_HOME": str(self.home / "headway"),
            "HEADWAY_API_URL": self.url,
            "HEADWAY_API_KEY": self.key,
            "PYTHONUTF8": "1",
        } | more

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headway.cli.main",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={k: v for k, v in self.environment(**environment).items() if v},
        )

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Finished:
        process = await self.start(*arguments, **environment)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Finished(process.returncode, out.decode(), err.decode())
