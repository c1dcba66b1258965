"""The profile: where the control plane of this machine is and the token for it, in a file that only its owner reads."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Profile:
    """What a client on this machine needs."""

    url: str
    token: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the profile; None when there is none, or none that can be used, which means that a new one is due."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(url=str(found["url"]), token=str(found["token"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def sign_in_url(self, page: str = "") -> str:
        """Return an address that signs a browser in and leads to a page of ours. It holds the token: for the person alone."""
        query = {"token": self.token} | ({"next": page} if page else {})
        return f"{self.url}/login?{urlencode(query, safe='/')}"

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner alone from its first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
