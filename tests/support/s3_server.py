"""A real S3 endpoint over a socket, for one test module: moto's server in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.capabilities import REQUIRED
from support.eventually import eventually

NEEDED = ("moto", "flask", "s3fs")


def missing() -> str:
    """What of it is not installed; empty where a server can run."""
    gone = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return ", ".join(gone)


def require_s3() -> None:
    """Skips the test where no endpoint can run; fails it where capabilities are required."""
    if gone := missing():
        text = f"no S3 endpoint can run here without {gone}: install deploy/requirements-dev.txt"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(text)
        pytest.skip(text)


class S3Server:
    """An endpoint; buckets are made by `bucket`."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def bucket(self, name: str) -> str:
        """Makes it, and gives its URL."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass
        return f"s3://{name}/results"

    @property
    def env(self) -> dict[str, str]:
        """What leads AWS's own tools there."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def s3_server(port: int) -> Iterator[S3Server]:
    """Up until the end of the block."""
    code = (
        "import sys; from werkzeug.serving import run_simple;"
        "from moto.server import DomainDispatcherApplication, create_backend_app;"
        "run_simple('127.0.0.1', int(sys.argv[1]), DomainDispatcherApplication(create_backend_app),"
        " threaded=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_ALLOW_NONEXISTENT_REGION": "true"},
    )
    server = S3Server(port)
    try:
        eventually(lambda: _answers(server, process), what="the S3 endpoint answers")
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(server: S3Server, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "moto's server has ended"
    try:
        with urllib.request.urlopen(f"{server.endpoint}/moto-api/data.json", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False
