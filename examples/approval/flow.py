"""Frees space: finds the biggest files of a folder, asks a person, and deletes what that person lets go."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from headway import WaitTimedOut, flow, get_run_logger, task, wait_for_input


@dataclass(frozen=True)
class Candidate:
    """A file as it was when it was found. `changed_ns`: its modification time in nanoseconds."""

    path: Path
    size: int
    changed_ns: int


@dataclass
class Decision:
    """What the form on the run's page asks for."""

    approve: bool
    keep: list[str] = field(default_factory=list)
    comment: str = ""


@task
def find(folder: Path, at_least: int, most: int) -> list[Candidate]:
    """The biggest files below the folder, no smaller than `at_least` bytes, biggest first. Links are left alone."""
    regular = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    found = [_candidate(path) for path in regular]
    big = [each for each in found if each.size >= at_least]
    return sorted(big, key=lambda each: (-each.size, each.path))[:most]


@task(task_run_name="delete {candidate.path}")
def delete(candidate: Candidate) -> int:
    """Gives the bytes that it freed: none if the file is gone or was changed after the question was asked."""
    try:
        now = _candidate(candidate.path)
    except FileNotFoundError:
        return 0
    if now != candidate:
        get_run_logger().warning("%s has changed since: it stays", candidate.path)
        return 0
    candidate.path.unlink()
    return candidate.size


@flow
def free_space(
    folder: Path, at_least: int = 1_000_000, most: int = 20, hours_to_answer: float = 48
) -> str:
    """Deletes the biggest files below `folder`, once a person has agreed."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no directory: pass one with -p folder=/some/where")
    found = find(folder, at_least, most)
    if not found:
        return f"nothing of {at_least:,} bytes or more"
    for each in found:
        get_run_logger().info("%12d %s", each.size, _name(each, folder))
    try:
        decision = ask(found, folder, hours_to_answer)
    except WaitTimedOut:
        return "nobody answered: nothing was deleted"
    if not decision.approve:
        return f"refused: {decision.comment or 'no comment'}"
    goes = [each for each in found if _name(each, folder) not in decision.keep]
    freed = sum(delete.map(goes).result()) if goes else 0
    return f"freed {freed:,} bytes; {len(goes)} of {len(found)} files were to go"


def ask(found: list[Candidate], folder: Path, hours: float) -> Decision:
    """Asks until every file to keep is one that was asked about: a misspelt name must not cost a file."""
    names = {_name(each, folder) for each in found}
    total = sum(each.size for each in found)
    question = f"Delete {len(found)} files, {total:,} bytes? The log lists them."
    problem = ""
    while True:
        decision = wait_for_input(
            Decision, title=problem + question, name="delete", timeout=hours * 3600
        )
        unknown = sorted(set(decision.keep) - names)
        if not decision.approve or not unknown:
            return decision
        problem = f"Not among the files: {', '.join(unknown)[:200]}. "


def _name(candidate: Candidate, folder: Path) -> str:
    return candidate.path.relative_to(folder).as_posix()


def _candidate(path: Path) -> Candidate:
    status = path.stat()
    return Candidate(path, status.st_size, status.st_mtime_ns)
