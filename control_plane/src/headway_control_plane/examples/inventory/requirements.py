"""Who needs whom: requirement strings (PEP 508) against what is installed, as far as an inventory needs it."""

from __future__ import annotations

import ast
import operator
import os
import platform
import re
import sys
from collections.abc import Callable
from typing import Any, TypedDict

from inventory.distributions import Distribution, normalised

_REQUIREMENT = re.compile(
    r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?$"
)
_CLAUSE = re.compile(r"^\s*(===|==|~=|!=|<=|>=|<|>)\s*(\S+)\s*$")


_ORDERED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class Dependencies(TypedDict):
    """The graph of what is installed."""

    edges: dict[str, list[str]]  # name -> names it needs, both installed
    unmet: list[str]  # "a needs b>=2, found 1.4" or "a needs b, not installed"
    cycles: list[list[str]]


def resolve(distributions: list[Distribution]) -> Dependencies:
    """Evaluates every requirement of every distribution in the environment it runs in, extras left out."""
    versions = {d["name"]: d["version"] for d in distributions}
    edges: dict[str, list[str]] = {}
    unmet: list[str] = []
    for dist in distributions:
        needed = set()
        for text in dist["requires"]:
            read = _REQUIREMENT.match(text)
            if read is None or not _applies(read.group(3)):
                continue
            name, wanted = normalised(read.group(1)), read.group(2).strip()
            found = versions.get(name)
            if found is None:
                unmet.append(f"{dist['name']} needs {name}{wanted}, not installed")
            elif not satisfies(found, wanted):
                unmet.append(f"{dist['name']} needs {name}{wanted}, found {found}")
            if found is not None:
                needed.add(name)
        edges[dist["name"]] = sorted(needed)
    return Dependencies(edges=edges, unmet=sorted(unmet), cycles=cycles(edges))


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, trailing zeros cut: 1.10.0rc1 is (1, 10)."""
    read = re.match(r"^[vV]?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in read.group(1).split(".")] if read else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def satisfies(version: str, specifiers: str) -> bool:
    """Whether a version lies in all clauses of `>=1,<2`, compared by release numbers. A clause of an unknown form counts as met."""
    return all(
        _clause(release(version), clause) for clause in specifiers.split(",") if clause.strip()
    )


def _clause(have: tuple[int, ...], clause: str) -> bool:
    read = _CLAUSE.match(clause)
    if read is None:
        return True
    comparison, text = read.groups()
    if text.endswith(".*"):
        want = tuple(int(n) for n in text[:-2].split(".") if n.isdigit())
        same = (have + (0,) * len(want))[: len(want)] == want
        return same if comparison == "==" else not same
    want = release(text)
    if comparison == "~=":
        prefix = tuple(int(n) for n in re.findall(r"\d+", text)[:-1])
        return have >= want and (have + (0,) * len(prefix))[: len(prefix)] == prefix
    return {
        "==": have == want, "===": have == want, "!=": have != want,
        "<": have < want, "<=": have <= want, ">": have > want, ">=": have >= want,
    }[comparison]  # fmt: skip


def _applies(marker: str | None) -> bool:
    """Whether an environment marker holds here. Extras are not asked for, so `extra == ...` is false."""
    if not marker:
        return True
    try:
        tree = ast.parse(marker.strip(), mode="eval").body
    except SyntaxError:
        return True
    return _holds(tree)


def _holds(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        parts = (_holds(value) for value in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Compare):
        left, right = _value(node.left), _value(node.comparators[0])
        variable = next(
            (n.id for n in (node.left, node.comparators[0]) if isinstance(n, ast.Name)), ""
        )
        return _compare(node.ops[0], left, right, versions="version" in variable)
    return True


def _compare(comparison: ast.cmpop, left: str, right: str, *, versions: bool) -> bool:
    if isinstance(comparison, ast.In):
        return left in right
    if isinstance(comparison, ast.NotIn):
        return left not in right
    # Texts are compared as one-element tuples, so that both kinds have one type.
    a: tuple[int | str, ...] = release(left) if versions else (left,)
    b: tuple[int | str, ...] = release(right) if versions else (right,)
    return _ORDERED[type(comparison)](a, b)


def _value(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    variables = {
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "python_full_version": platform.python_version(),
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_system": platform.system(),
        "platform_machine": platform.machine(),
        "platform_release": platform.release(),
        "platform_version": platform.version(),
        "platform_python_implementation": platform.python_implementation(),
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "extra": "",
    }
    return variables.get(node.id, "") if isinstance(node, ast.Name) else ""


def cycles(edges: dict[str, list[str]]) -> list[list[str]]:
    """Groups of distributions that need each other, by Tarjan's algorithm without recursion; each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for start in sorted(edges):
        if start in index:
            continue
        work = [(start, iter(edges[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    if len(group) > 1 or node in edges[node]:
                        found.append(sorted(group))
            elif following not in index:
                index[following] = low[following] = len(index)
                stack.append(following)
                work.append((following, iter(edges.get(following, ()))))
            elif following in stack:
                low[node] = min(low[node], index[following])
    return found
