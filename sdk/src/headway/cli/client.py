"""The REST API as verbs use it: answers as plain values, failures as messages with the next step."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import httpx

from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.settings import Profile, load_profile
from headway.version import __version__

Json = dict[str, Any]


class Client:
    """One profile's control plane."""

    def __init__(self, profile: Profile, *, timeout: float = 30.0) -> None:
        self.url = profile.url
        headers = {"User-Agent": f"headway/{__version__}"}
        if profile.token:
            headers["Authorization"] = f"Bearer {profile.token}"
        self.http = httpx.Client(base_url=f"{profile.url}/api/v1", headers=headers, timeout=timeout)

    @classmethod
    def of_profile(cls) -> "Client":
        return cls(load_profile())

    def get(self, path: str, **query: Any) -> Any:
        return self._send("GET", path, params=_clean(query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        return self._send("POST", path, json=body, headers=headers)

    def delete(self, path: str, **query: Any) -> Any:
        return self._send("DELETE", path, params=_clean(query))

    def pages(self, path: str, most: int, *, place: str = "cursor", **query: Any) -> Iterator[Json]:
        """Yield items of a keyset-paged list, at most so many; `place` is the parameter that says where to go on."""
        cursor: str | int | None = None
        while most > 0:
            page = self.get(path, **{place: cursor}, limit=min(most, 200), **query)
            yield from page["items"][:most]
            most -= len(page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def find_run(self, text: str) -> str:
        """Return the id of the run that a unique beginning names."""
        if _is_id(text):
            return text
        if not set(text.lower()) <= set("0123456789abcdef-"):
            raise CommandError(
                f"{text!r} is not the beginning of a run's id.",
                hint="List runs with: headway runs ls",
                code=Exit.USAGE,
            )
        found = self.get("/runs", prefix=text, limit=2)["items"]
        if len(found) == 1:
            return str(found[0]["id"])
        problem = (
            f"More than one run begins with {text}." if found else f"No run begins with {text}."
        )
        raise CommandError(
            problem,
            hint="Give more of the id." if found else "List runs with: headway runs ls",
            code=Exit.REFUSED,
        )

    def _send(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self.http.request(method, path, **more)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise refusal(answer)


def refusal(answer: httpx.Response) -> CommandError:
    """Turn an error answer into what the person is told."""
    try:
        told = answer.json()
        message, hint = told["detail"], told.get("hint", "")
        problems = [(problem["path"], problem["message"]) for problem in told.get("errors", [])]
    except (ValueError, KeyError, TypeError):
        return CommandError(
            f"{answer.request.url} answered {answer.status_code} and no problem details.",
            hint="Is this a Headway control plane? Check HEADWAY_API_URL, or: headway login URL",
        )
    return CommandError(message, hint=hint, problems=problems, code=_exit_of(answer.status_code))


def unreachable(url: str, error: Exception) -> CommandError:
    """Say that nobody answers."""
    return CommandError(
        f"The control plane at {url} cannot be reached ({str(error) or type(error).__name__}).",
        hint="Start it: headway up; or choose another one: headway login URL",
        code=Exit.UNREACHABLE,
    )


def _exit_of(status: int) -> Exit:
    if status in {401, 403}:
        return Exit.NOT_LOGGED_IN
    return Exit.REFUSED if 400 <= status < 500 else Exit.ERROR


def _clean(query: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not asked for."""
    return {name: value for name, value in query.items() if value not in (None, "", (), [])}


def _is_id(text: str) -> bool:
    try:
        return len(text) == 36 and bool(UUID(text))
    except ValueError:
        return False
