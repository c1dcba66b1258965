"""Names and tags that people choose: what is allowed, checked in one place."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from headway_control_plane.application.errors import InvalidRequest, Problem

MAX_NAME = 200
MAX_TAG = 64
MAX_TAGS = 20

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def slug_problems(path: str, value: str) -> Iterator[Problem]:
    """A name that stands in URLs and commands."""
    if not _SLUG.fullmatch(value) or len(value) > MAX_NAME:
        yield Problem(
            path,
            f"must be 1 to {MAX_NAME} letters, digits, '.', '_' or '-', beginning with a letter or digit",
        )


def text_problems(path: str, value: str, limit: int = MAX_NAME) -> Iterator[Problem]:
    """A text for people: one line of Unicode."""
    if len(value) > limit:
        yield Problem(path, f"is longer than {limit} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        yield Problem(path, "holds control characters or half a surrogate pair; remove them")


def tag_problems(path: str, tags: Iterable[str]) -> Iterator[Problem]:
    listed = list(tags)
    if len(listed) > MAX_TAGS:
        yield Problem(path, f"holds more than {MAX_TAGS} tags")
    for number, tag in enumerate(listed[:MAX_TAGS]):
        if not tag.strip():
            yield Problem(f"{path}[{number}]", "is empty")
        yield from text_problems(f"{path}[{number}]", tag, MAX_TAG)


def require_none(problems: Iterable[Problem]) -> None:
    """Refuse when there is any problem, naming all of them."""
    found = list(problems)
    if found:
        raise InvalidRequest("The request holds values that can't be accepted.", problems=found)
