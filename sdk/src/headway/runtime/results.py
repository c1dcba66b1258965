"""Results on their way into frames, and back out of the journal of earlier attempts."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headway.payloads import INLINE_MAX, CodecName, Payload

RESULTS = "results"


class ResultWriter:
    """Makes a frame's `result`: small values inline, large ones as a file named by its digest."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / RESULTS

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

    def _keep(self, payload: Payload) -> None:
        """Whole and durable under its name, or not there: readers never see half a file."""
        target = self._folder / payload.digest
        if target.exists():
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        part = self._folder / f"{payload.digest}.{threading.get_ident()}.part"
        with part.open("wb") as file:
            file.write(payload.data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
        sync_folder(self._folder)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ResultReader:
    """Finds the payload of a recorded `result`: inline, beside the frames.log of any attempt, or in the store."""

    def __init__(self, run_dirs: Sequence[Path], store: str) -> None:
        self._folders = [run_dir / RESULTS for run_dir in run_dirs]
        if store:
            self._folders.append(Path(store))

    def __call__(self, result: dict[str, Any]) -> Payload | None:
        """None when the value is not there any more or is not what was recorded."""
        codec: CodecName = result["codec"]
        if codec == "none":
            return None
        data = self._inline(result) if "data" in result else self._from_file(str(result["file"]))
        if data is None or hashlib.sha256(data).hexdigest() != result["digest"]:
            return None
        return Payload(codec, data)

    @staticmethod
    def _inline(result: dict[str, Any]) -> bytes:
        text: str = result["data"]
        return text.encode() if result["codec"] == "json" else base64.b64decode(text)

    def _from_file(self, name: str) -> bytes | None:
        # A store may spread its files over folders named by the digest's first digits.
        for folder in self._folders:
            for path in (folder / name, folder / name[:2] / name):
                try:
                    return path.read_bytes()
                except OSError:
                    continue  # not here, or not readable: the next place, or the call is executed again
        return None
