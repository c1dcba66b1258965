"""The fixture `api`, and the command line as a real process against it."""

from pathlib import Path

import pytest

from support.command_line import CommandLine
from support.http_server import Api, api

__all__ = ["api"]


@pytest.fixture
def cli(api: Api, tmp_path: Path) -> CommandLine:
    return CommandLine(api.url, api.one.key, tmp_path)
