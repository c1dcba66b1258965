"""Results on their way into frames, and back out of the journal of earlier attempts."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from headway.payloads import INLINE_MAX, MAX, CodecName, Payload
from headway.runtime.frames_log import sync_directory

RESULTS = "results"
STAYS = ".here"
"""Ends the name of an empty file beside a value that holds a secret: the agent takes it to no store."""


class ResultWriter:
    """Makes a frame's `result`: small values inline, large ones as a file named by its digest."""

    def __init__(self, run_dir: str | Path, most: int = MAX) -> None:
        self._run_dir = run_dir
        self.most = most
        """Bytes that one value may have."""

    @property
    def _folder(self) -> Path:
        return Path(self._run_dir) / RESULTS

    def __call__(self, payload: Payload) -> dict[str, Any]:
        described: dict[str, Any] = {
            "codec": payload.codec,
            "size": len(payload.data),
            "digest": payload.digest,
        }
        if payload.codec == "none":
            return described
        if len(payload.data) > INLINE_MAX:
            self._keep(payload)
            return {**described, "file": described["digest"]}
        inline = payload.data if payload.codec == "json" else base64.b64encode(payload.data)
        return {**described, "data": inline.decode()}

    def stays_here(self, payload: Payload) -> None:
        """Says so of a value that will be a file, before it is one."""
        if len(payload.data) > INLINE_MAX:
            self._mark(payload.digest)

    def adopt(self, file: Path) -> None:
        """Gives this attempt its own name for an earlier attempt's file, so that it does not depend on that folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if file.with_name(file.name + STAYS).exists():
            self._mark(file.name)
        with suppress(
            OSError
        ):  # there already, or in a store on another disk: the digest still leads to it
            os.link(file, self._folder / file.name)

    def take(self, payload: Payload, file: Path | None) -> dict[str, Any]:
        """As a call, for a value that lies in `file` already: that gets one more name instead of being written again."""
        if file is not None and len(payload.data) > INLINE_MAX:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with suppress(OSError):  # on another disk, or there already: what is missing is written
                os.link(file, self._folder / payload.digest)
        return self(payload)

    def _mark(self, digest: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / f"{digest}{STAYS}").touch(mode=0o600)

    def _keep(self, payload: Payload) -> None:
        """Whole and durable under its name, or not there: readers never see half a file."""
        target = self._folder / payload.digest
        if target.exists():
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        part = self._folder / f"{payload.digest}.{threading.get_ident()}.part"
        try:
            with part.open("wb") as file:
                file.write(payload.data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_directory(self._folder)


def payload_text(result: dict[str, Any]) -> str:
    """What an inline result holds, as text; bytes that are none are lone surrogates. Empty for a file's."""
    data = result.get("data")
    if not isinstance(data, str) or result.get("codec") == "json":
        return data if isinstance(data, str) else ""
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        return data
    return raw.decode("utf-8", "surrogateescape")


class Found(NamedTuple):
    """A recorded value, and the file it was in."""

    payload: Payload
    file: Path | None


class ResultReader:
    """Finds the payload of a recorded `result`: inline, beside the frames.log of any attempt, or in the store."""

    def __init__(self, run_dirs: Sequence[Path], store: str) -> None:
        self._run_dirs = run_dirs
        self._store = store

    def __call__(self, result: dict[str, Any]) -> Found | None:
        """None when the value is not there any more or is not what was recorded."""
        codec: CodecName = result["codec"]
        if codec == "none":
            return None
        if "data" in result:
            return _sound(Payload(codec, self._inline(result)), result, None)
        for path in self._places(str(result["file"])):
            with suppress(
                OSError
            ):  # not here, or not readable: the next place, or the call is executed again
                found = _sound(Payload(codec, path.read_bytes()), result, path)
                if found is not None:
                    return found
        return None

    @staticmethod
    def _inline(result: dict[str, Any]) -> bytes:
        text: str = result["data"]
        return text.encode() if result["codec"] == "json" else base64.b64decode(text)

    def _places(self, name: str) -> Iterator[Path]:
        """A store may spread its files over folders named by the digest's first digits."""
        folders = [run_dir / RESULTS for run_dir in self._run_dirs]
        for folder in [*folders, Path(self._store)] if self._store else folders:
            yield folder / name
            yield folder / name[:2] / name


def _sound(payload: Payload, result: dict[str, Any], file: Path | None) -> Found | None:
    return Found(payload, file) if payload.digest == result["digest"] else None
