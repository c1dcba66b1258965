"""Where the control plane is and the key for it: HEADWAY_API_URL and HEADWAY_API_KEY, else the profile that `headway up` or
`headway login` wrote.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from headway.cli.errors import CommandError
from headway.cli.exits import Exit


@dataclass(frozen=True, slots=True)
class Profile:
    """`token` is empty when nobody gave one for this URL."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"Profile(url={self.url!r}, token=***)"


def home() -> Path:
    """Return the directory that Headway keeps its things in."""
    return Path(os.environ.get("HEADWAY_HOME") or Path.home() / ".headway")


def profile_path() -> Path:
    return home() / "profile.json"


def environments_path() -> Path:
    """Return the file of this machine's agent; HEADWAY_AGENT_ENVIRONMENTS names another one for both."""
    named = os.environ.get("HEADWAY_AGENT_ENVIRONMENTS")
    state = os.environ.get("HEADWAY_AGENT_STATE_DIR")
    return (
        Path(named) if named else (Path(state) if state else home() / "agent") / "environments.toml"
    )


def active_virtual_environment() -> Path | None:
    found = os.environ.get("VIRTUAL_ENV")
    return Path(found) if found else None


def load_profile() -> Profile:
    """Return whom to talk to. The profile's key is never sent to a URL that it was not made for."""
    kept = _read(profile_path())
    url = os.environ.get("HEADWAY_API_URL") or (kept.url if kept else "")
    token = os.environ.get("HEADWAY_API_KEY") or ""
    if not token and kept is not None and kept.url == url.rstrip("/"):
        token = kept.token
    if not url:
        raise CommandError(
            f"No control plane is known: there is no profile in {home()}.",
            hint="Start one here: headway up; or choose one: headway login URL",
            code=Exit.NOT_LOGGED_IN,
        )
    return Profile(url.rstrip("/"), token)


def save_profile(profile: Profile) -> Path:
    """Write the profile whole, readable by its owner alone."""
    path = profile_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(profile), indent=2) + "\n")
    fresh.replace(path)
    return path


def speaks_unicode() -> bool:
    """Return whether glyphs can be printed. Asked of the real stdout: a live display stands before it for a while."""
    stdout = sys.__stdout__
    return stdout is not None and (stdout.encoding or "").lower().replace("-", "") == "utf8"


def _read(path: Path) -> Profile | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Profile(str(found["url"]).rstrip("/"), str(found["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"The profile {path} cannot be used: {error}.",
            hint="Log in again: headway login URL; or run: headway up",
            code=Exit.NOT_LOGGED_IN,
        ) from error
