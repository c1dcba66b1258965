"""What a Prefect project on disk uses of Prefect: its Python files and its prefect.yaml, of which none is executed."""

import os
from collections.abc import Iterator
from pathlib import Path

import yaml  # type: ignore[import-untyped] # its types are a package of their own, which nothing else needs

from headway.compat.names import Group
from headway.compat.reader import Finding, finding, read_python, unreadable

_YAML = ("prefect.yaml", "prefect.yml")
_NOT_THE_PROJECTS = frozenset(
    {"__pycache__", "site-packages", "node_modules", "venv", "env", "build", "dist"}
)


def files_of(path: Path) -> Iterator[Path]:
    """The file itself; of a directory, in order, the Python files and prefect.yaml that are the project's own."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _NOT_THE_PROJECTS
        )
        for name in sorted(names):
            file = Path(folder, name)
            if (name.endswith(".py") or name in _YAML) and file.is_file():
                yield file


def read_file(file: Path, shown: str) -> list[Finding]:
    """What it uses, by line. `shown`: its name in findings. What cannot be read is a finding too."""
    try:
        source = file.read_bytes()
    except OSError as error:
        return [unreadable(shown, 1, f"cannot be opened: {error.strerror}")]
    is_yaml = file.suffix in (".yaml", ".yml")
    return read_yaml(shown, source) if is_yaml else read_python(shown, source)


def read_yaml(file: str, source: bytes) -> list[Finding]:
    """What a prefect.yaml says, by line. Only its structure is looked at; whatever it is, nothing is raised."""
    try:
        top = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return [unreadable(file, mark.line + 1 if mark else 1, f"no YAML: {_first_line(error)}")]
    except (ValueError, RecursionError) as error:
        return [unreadable(file, 1, f"no YAML that can be read: {_first_line(error)}")]
    if top is None:
        return []
    if not isinstance(top, yaml.MappingNode):
        return [unreadable(file, 1, "a prefect.yaml is a mapping, and this is none")]
    found = list(_keys(file, top, "prefect.yaml"))
    for key, value in top.value:
        if key.value == "deployments" and isinstance(value, yaml.SequenceNode):
            for deployment in value.value:
                found += _keys(file, deployment, "deployment")
    return found


def _keys(file: str, node: yaml.Node, group: Group) -> Iterator[Finding]:
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            yield finding(file, key.start_mark.line + 1, group, key.value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
