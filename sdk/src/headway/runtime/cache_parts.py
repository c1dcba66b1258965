"""What a call's key in the cache is made of: digests by name, whose equality makes two calls equal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from headway.caching import CacheKey
from headway.definitions import Definition
from headway.digests import explicit_digest, stable_digest
from headway.runtime.cache_scope import NoKey, Whose, captured, everywhere, here, task_digest
from headway.runtime.changed_code import code_of


def parts_of(
    definition: Definition,
    arguments: Mapping[str, Any],
    whose: Whose,
    parameters: Mapping[str, Any],
) -> dict[str, str]:
    """What a call's key is made of: digests by name. Raises NoKey.

    `arguments` are bound, and hold no futures; `parameters` are those of the run.
    """
    policy = definition.cache
    assert policy is not None
    parts = {"project": here(definition, whose), "task": task_digest(definition)}
    if unknown := policy.omitted - arguments.keys():
        raise NoKey(f"the policy takes away {min(unknown)!r}, which is none of its arguments")
    if "inputs" in policy.parts:
        for name in arguments.keys() - policy.omitted:
            parts[f"inputs.{name}"] = _digest(f"its argument {name!r}", {name: arguments[name]})
    if "source" in policy.parts:
        parts["source"] = _source(definition)
    if "flow_parameters" in policy.parts:
        parts["flow_parameters"] = _digest("a parameter of the run", dict(parameters))
    if policy.parts and (digest := captured(definition, source="source" in policy.parts)):
        parts["captured"] = digest
    for number, function in enumerate(policy.functions):
        parts[f"function.{number}"] = _by_function(function, arguments)
    return parts


def shared_parts_of(
    definition: Definition, parts: Mapping[str, str], whose: Whose
) -> dict[str, str]:
    """What its key in the cache that agents share is made of: as here, but by what names a project on every machine, and
    with its code, for agents may have different versions of a project at one time. Raises NoKey.
    """
    shared = {**parts, "project": everywhere(whose), "source": _source(definition)}
    if not whose.project:
        # Nothing says that it is one project but that all code is equal which the task may come to.
        shared["imports"] = _imports(definition, whose)
    return shared


def _imports(definition: Definition, whose: Whose) -> str:
    from headway.runtime.project_code import Doubtful, digest_of  # noqa: PLC0415 - few runs need it

    try:
        return digest_of(definition.__module__, whose.begun_us)
    except Doubtful as doubt:
        raise NoKey(str(doubt)) from doubt


def key_of(parts: Mapping[str, str]) -> str:
    text = "\n".join(f"{name}={parts[name]}" for name in sorted(parts))
    return sha256(f"headway cache 1\n{text}".encode("utf-8", "backslashreplace")).hexdigest()


def _digest(what: str, value: dict[str, Any]) -> str:
    digest = stable_digest(value)
    if digest is None:
        raise NoKey(
            f"{what} has no stable digest: register a codec for its type, or use a function as the policy"
        )
    return digest


def _source(definition: Definition) -> str:
    if definition.version:
        return code_of(definition)
    if getattr(definition.fn, "__code__", None) is None:
        raise NoKey("its function is not written in Python: give it a version")
    return f"{code_of(definition)} {sys.implementation.cache_tag}"


def _by_function(function: CacheKey, arguments: Mapping[str, Any]) -> str:
    try:
        key = function(arguments)
    except Exception as error:
        # Code of the user's, which may raise anything.
        raise NoKey(f"the function in its policy raised {error!r}") from error
    if key is None:
        raise NoKey("the function in its policy gave None")
    if not isinstance(key, str):
        raise NoKey(f"the function in its policy must give a string or None, not {key!r}")
    return explicit_digest(key)
