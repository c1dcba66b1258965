"""Variables of the workspace: small JSON values beside the code. People set them by `headway variables set` or in the browser, flows by `set`.

Everybody in the workspace sees them, and so does the control plane: what is secret belongs into `headway.secret`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple, TypeVar, overload

from headway.context import current_call
from headway.errors import InvalidOption, OutputRefused, VariableNotFound
from headway.outputs import MOST_VALUE, clean_text

T = TypeVar("T")
JsonValue = Any
"""None, bool, int, float, str, or a list or dict of such."""
_MISSING: Any = ...
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MOST_TAGS, _LONGEST_TAG = 20, 64

_installed: MutableMapping[str, JsonValue] | None = None


class VariableSpec(NamedTuple):
    """What is written: `data` is JSON, empty where the variable is deleted; `tags` None keeps those that it has."""

    name: str
    data: str = ""
    tags: tuple[str, ...] | None = None
    expected_version: int | None = None


@overload
def get(name: str) -> JsonValue: ...
@overload
def get(name: str, default: T) -> JsonValue | T: ...
def get(name: str, default: Any = _MISSING) -> Any:
    """The variable's value, in flows and in tasks.

    All calls of an attempt see the variables as they were when it began, and at least as new as when the run was created; what
    the run itself sets, they see at once. A later attempt may see newer ones; what it skips keeps the results that it had.

    Args:
        name: As it was set.
        default: Given for a variable that is not there.

    Raises:
        VariableNotFound: there is no such variable and no default; outside a run there are none.
    """
    values = _installed if _installed is not None else {}
    if name in values:
        return copy.deepcopy(values[name])
    if default is not _MISSING:
        return default
    raise VariableNotFound(name, in_run=_installed is not None)


def set(  # noqa: A001 - as `get` and `delete`, it is used behind the module's name
    name: str,
    value: JsonValue,
    *,
    tags: Sequence[str] | None = None,
    expected_version: int | None = None,
) -> None:
    """Makes the variable, or changes it, for all runs of the workspace. Outside a run it goes nowhere.

    It returns at once, and is carried out when the agent's report arrives, in the order of the log: whoever writes last wins. The
    run's own calls see the value from here on, other runs if they are created after that. A write that the control plane refuses
    changes nothing and stands in the variable's history with the reason (`headway variables history NAME`).

    It is written once over all attempts of the run, in a flow's body also where a later attempt comes to it with another value. A
    task that is tried again writes again, and so does an attempt after one that was lost, perhaps.

    Args:
        name: 1 to 200 letters, digits, `.`, `_` or `-`.
        value: JSON, or what has a JSON form; at most 64 KiB. No secrets.
        tags: In the place of those that it has; None keeps them.
        expected_version: Only if the variable has this version when the write arrives; 0: only if it is not there.

    Raises:
        InvalidOption: A wrong name, tag or version.
        OutputRefused: The value has no JSON form, or is too large.
        VariableRefused: Names and values of variables may not leave the run's pool.
        SecretError: The value of a secret stands in it.
    """
    spec = VariableSpec(
        _name(name), _json(name, value), _tags(name, tags), _version(name, expected_version)
    )
    call = current_call()
    if call is not None:
        call.engine.write_variable(call, spec)


def delete(name: str, *, expected_version: int | None = None) -> None:
    """Takes the variable away, for all runs of the workspace; one that is not there stays so. In all else it is as `set`.

    Args:
        name: As it was set.
        expected_version: Only if it has this version when the write arrives.

    Raises:
        InvalidOption: A wrong name or version.
        VariableRefused: Names and values of variables may not leave the run's pool.
    """
    spec = VariableSpec(_name(name), expected_version=_version(name, expected_version))
    call = current_call()
    if call is not None:
        call.engine.write_variable(call, spec)


def install(values: MutableMapping[str, JsonValue] | None) -> None:
    """Declares the present attempt's variables; None: this is no run."""
    global _installed
    _installed = values


def take_in(spec: VariableSpec) -> None:
    """From now on the attempt sees what it has written."""
    if _installed is None:
        return
    if spec.data:
        import json  # noqa: PLC0415 - as in `_json`

        _installed[spec.name] = json.loads(spec.data)
    else:
        _installed.pop(spec.name, None)


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidOption(
            f"the variable {name!r}: a name has 1 to 200 letters, digits, `.`, `_` or `-`, and begins with a letter or digit"
        )
    return name


def _tags(name: str, tags: Sequence[str] | None) -> tuple[str, ...] | None:
    if tags is None:
        return None
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidOption(f"the tags of the variable {name!r} must be a list of texts")
    clean = tuple(sorted({clean_text(tag) for tag in tags}))
    if len(clean) > _MOST_TAGS or not all(
        tag.strip() and tag.isprintable() and len(tag) <= _LONGEST_TAG for tag in clean
    ):
        raise InvalidOption(
            f"the tags of the variable {name!r}: at most {_MOST_TAGS}, each of 1 to {_LONGEST_TAG} printable characters"
        )
    return clean


def _version(name: str, version: object) -> int | None:
    if version is None or (type(version) is int and 0 <= version < 1 << 63):
        return version
    raise InvalidOption(
        f"expected_version={version!r} of the variable {name!r}: 0 (it is not there), or a number that `headway variables ls` shows"
    )


def _json(name: str, value: object) -> str:
    import json  # noqa: PLC0415 - who sets no variables does not load it, and `import headway` stays light

    from headway.parameters.plain import NotPlain, plain  # noqa: PLC0415 - the same

    try:
        text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    except (NotPlain, RecursionError) as error:
        raise OutputRefused(
            f"the value of the variable {name!r} has no JSON form: {error}. Set plain data"
        ) from None
    size = len(text.encode("utf-8", "replace"))
    if size > MOST_VALUE:
        raise OutputRefused(
            f"the value of the variable {name!r} has {size:,} bytes as JSON, and a variable holds at most {MOST_VALUE:,}:"
            " store it where your data is, and where it lies in the variable"
        )
    return clean_text(text)
