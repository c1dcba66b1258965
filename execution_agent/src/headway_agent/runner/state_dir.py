"""The agent's state directory: what lies where, and that one agent alone uses it."""

import fcntl
import hashlib
import os
import secrets
from pathlib import Path

from headway_agent.runner.api import AttemptKey


class StateDirBusy(Exception):
    """Another agent uses the directory; the message says what to do."""


class StateDir:
    """Holds the directory's lock until `close` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._lock, 32).decode(errors="replace").strip()
            os.close(self._lock)
            raise StateDirBusy(
                f"Another agent (process {owner}) uses {self.path}. Stop it, or start this one with another --state-dir."
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        for directory in (self.runs, self.store, self.logs):
            directory.mkdir(mode=0o700, exist_ok=True)
        self._secret = _kept_secret(self.path / "secret")

    @property
    def database(self) -> Path:
        return self.path / "agent.db"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def cache_socket(self) -> Path:
        """A file that names the socket of the cache that agents share, while an agent listens there."""
        return self.path / "cache.socket"

    @property
    def variables(self) -> Path:
        return self.path / "variables.json"

    def salt(self, run: str) -> str:
        """A run's secret, the same in all its attempts here: what calls leave as their keys can't be tried out without it."""
        return hashlib.sha256(self._secret + run.encode()).hexdigest()

    def run_dir(self, key: AttemptKey) -> Path:
        return self.runs / key.run / str(key.fence)

    def close(self) -> None:
        os.close(self._lock)


def _kept_secret(path: Path) -> bytes:
    """32 random bytes, made once. The directory's lock is held, so nobody else makes them at the same time."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        fresh = path.with_name("secret.new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        fresh.replace(path)
        return path.read_bytes()
