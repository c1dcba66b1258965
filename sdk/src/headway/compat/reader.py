"""Reads Python that was written for Prefect, without importing it: what of it maps, what differs, what is missing."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from headway.compat.names import Group, Mapped, is_known, look_up

PREFECT = "prefect"


class Finding(NamedTuple):
    """One use of one name."""

    file: str
    line: int
    group: str
    """`import`, `flow option` ...; `file` for a file that cannot be read."""
    name: str
    status: str
    """`same`, `differs`, `missing`; `unreadable`."""
    ours: str
    note: str


def finding(file: str, line: int, group: Group, name: str) -> Finding:
    """What the table says of it."""
    found: Mapped = look_up(group, name)
    return Finding(file, line, group, name, found.status, found.ours, found.note)


def unreadable(file: str, line: int, reason: str) -> Finding:
    """A file that nothing can be said about."""
    return Finding(file, line, "file", "", "unreadable", "", reason)


def read_python(file: str, source: bytes) -> list[Finding]:
    """What a file uses of Prefect, by line. Whatever the bytes are, it raises nothing: what cannot be read is a finding."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the code that is read, which others may mend
            tree = ast.parse(source)
    except SyntaxError as error:
        return [unreadable(file, error.lineno or 1, f"no Python of this version: {error.msg}")]
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return [unreadable(file, 1, f"no Python that can be read: {type(error).__name__}: {error}")]
    return sorted(
        set(_Reader(file, tree).findings()), key=lambda one: (one.line, one.group, one.name)
    )


class _Reader:
    """One file: which of its names are Prefect's, and what is done with them."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self._file = file
        self._nodes = list(ast.walk(tree))
        self._modules: dict[str, str] = {}
        """Names that stand for a module, by what it is: `prefect`, `prefect.runtime`."""
        self._names: dict[str, str] = {}
        """Names that stand for something of Prefect's, by its own name."""
        self._made: dict[str, str] = {}
        """Names that stand for a flow or task of this file: `flow` or `task`."""

    def findings(self) -> Iterator[Finding]:
        """All uses. Imports first, for they say what the names mean."""
        for node in self._nodes:
            yield from self._imports(node)
        if not self._modules and not self._names:
            return
        for node in self._nodes:
            self._definition(node)
        for node in self._nodes:
            if isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)

    def _imports(self, node: ast.AST) -> Iterator[Finding]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_prefect(alias.name):
                    self._modules[alias.asname or PREFECT] = alias.name if alias.asname else PREFECT
                    if alias.name != PREFECT:
                        yield self._found(node, "import", _known(alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_prefect(node.module or ""):
            for alias in node.names:
                name = _imported(node.module or "", alias.name)
                self._names[alias.asname or alias.name] = name
                yield self._found(node, "import", name)

    def _definition(self, node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                made = self._meaning(
                    decorator.func if isinstance(decorator, ast.Call) else decorator
                )
                if made in ("flow", "task"):
                    self._made[node.name] = made
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = self._made_by(node.value)
            for target in node.targets:
                if made and isinstance(target, ast.Name):
                    self._made[target.id] = made

    def _made_by(self, call: ast.Call) -> str:
        """`flow` or `task` for `flow(fn)`, `flow(...)(fn)` and `fn.with_options(...)`."""
        function = call.func.func if isinstance(call.func, ast.Call) else call.func
        meaning = self._meaning(function)
        if meaning in ("flow", "task"):
            return meaning
        if isinstance(function, ast.Attribute) and function.attr == "with_options":
            return self._kind(function.value)
        return ""

    def _kind(self, node: ast.expr) -> str:
        return self._made.get(node.id, "") if isinstance(node, ast.Name) else ""

    def _meaning(self, node: ast.expr) -> str:
        """Prefect's name for what an expression stands for; empty for anything else."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            path = _dotted(node)
            root, _, rest = path.partition(".")
            if rest and root in self._modules:
                return _known(f"{self._modules[root]}.{rest}")
        return ""

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        meaning = self._meaning(node.func)
        if meaning in ("flow", "task"):
            yield from self._options(node, "flow option" if meaning == "flow" else "task option")
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "with_options":
            kind = self._kind(node.func.value)
            if kind:
                yield from self._options(node, "flow option" if kind == "flow" else "task option")
        elif self._kind(node.func) or self._is_submitted(node.func):
            for keyword in node.keywords:
                if keyword.arg in ("return_state", "wait_for"):
                    yield self._found(keyword.value, "call option", keyword.arg)

    def _is_submitted(self, function: ast.expr) -> bool:
        return (
            isinstance(function, ast.Attribute)
            and function.attr in ("submit", "map")
            and bool(self._kind(function.value))
        )

    def _options(self, node: ast.Call, group: Group) -> Iterator[Finding]:
        for keyword in node.keywords:
            if keyword.arg is not None:  # **options: what is in there shows when it runs
                yield self._found(keyword.value, group, keyword.arg)

    def _attribute(self, node: ast.Attribute) -> Iterator[Finding]:
        kind = self._kind(node.value)
        group: Group = "flow method" if kind == "flow" else "task method"
        if kind and is_known(group, node.attr):
            yield self._found(node, group, node.attr)
        elif isinstance(node.value, ast.Name) and node.value.id in self._modules:
            meaning = self._meaning(node)
            if meaning:
                yield self._found(node, "import", meaning)

    def _found(self, node: ast.stmt | ast.expr, group: Group, name: str) -> Finding:
        return finding(self._file, node.lineno, group, name)


def _is_prefect(module: str) -> bool:
    return module == PREFECT or module.startswith((f"{PREFECT}.", f"{PREFECT}_"))


def _known(path: str) -> str:
    """The name in the table for a dotted path: its most telling part that is there, else its last."""
    parts = path.split(".")[1:] or [path]
    for part in (parts[-1], *parts):
        if is_known("import", part):
            return part
    return parts[-1] if path.startswith(f"{PREFECT}.") else "integrations"


def _imported(module: str, name: str) -> str:
    return module if name == "*" else _known(f"{module}.{name}")


def _dotted(node: ast.expr) -> str:
    """`a.b.c` for such an expression; empty for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""
