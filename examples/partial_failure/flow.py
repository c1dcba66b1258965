"""Measures every Python file of a folder. Some cannot be read: how many of those are too many is a parameter."""

from __future__ import annotations

import ast
import sysconfig
import tokenize
import warnings
from pathlib import Path
from typing import TypedDict

from headway import ProcessRunner, flow, get_run_logger, task, wait

STDLIB = Path(sysconfig.get_paths()["stdlib"])


class Figures(TypedDict):
    lines: int
    functions: int
    classes: int


class Survey(TypedDict):
    files: int
    failed: list[str]
    figures: Figures


class TooManyFailures(Exception):
    """More files failed than was tolerated."""


@task
def find(folder: Path, limit: int) -> list[Path]:
    """The first `limit` Python files below the folder, in the order of their names."""
    return sorted(folder.rglob("*.py"))[:limit]


@task(task_run_name="measure {path.name}")
def measure(path: Path) -> Figures:
    """Raises SyntaxError, also for files whose encoding is not what they say."""
    with tokenize.open(path) as file:
        text = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        nodes = list(ast.walk(ast.parse(text, str(path))))
    return Figures(
        lines=text.count("\n"),
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
    )


# Parsing computes, so it goes to processes: a core each.
@flow(task_runner=ProcessRunner())
def survey(folder: Path = STDLIB, tolerated: float = 0.01, limit: int = 300) -> Survey:
    """Measures up to `limit` files; fails if more than the share `tolerated` (0 to 1) of them cannot be read."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no directory: pass one with -p folder=/some/where")
    if not 0 <= tolerated <= 1:
        raise ValueError(f"tolerated is a share between 0 and 1, not {tolerated:g}")
    paths = find(folder, limit)
    futures = measure.map(paths)
    wait(futures)
    # Who asks a future for its exception has looked at the failure: it no longer fails the flow.
    errors = {path: future.exception() for path, future in zip(paths, futures, strict=True)}
    failed = {path: error for path, error in errors.items() if error is not None}
    for path, error in failed.items():
        get_run_logger().warning("%s: %s", path, error)
    if len(failed) > tolerated * len(paths):
        raise TooManyFailures(
            f"{len(failed)} of {len(paths)} files cannot be read; {tolerated:.1%} are tolerated. Mend them and resume the run"
            " (only they are read again), or resume it with a higher -p tolerated=..."
        )
    measured = [future.result() for future in futures if future.exception() is None]
    return Survey(
        files=len(measured),
        failed=[path.relative_to(folder).as_posix() for path in failed],
        figures=total(measured),
    )


def total(measured: list[Figures]) -> Figures:
    return Figures(
        lines=sum(each["lines"] for each in measured),
        functions=sum(each["functions"] for each in measured),
        classes=sum(each["classes"] for each in measured),
    )
