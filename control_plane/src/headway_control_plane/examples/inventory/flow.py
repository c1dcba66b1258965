"""The flow. Start it with `headway demo`, or deploy it: `headway deploy inventory.flow:inventory --root <the folder above this one>`."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any, cast

from headway import flow, get_run_logger, run_context, task
from inventory import distributions, report, requirements


@task(retries=2, retry_delay=0.2)
def read_environment(*, stumble: bool) -> dict[str, str]:
    """Which interpreter this is. With `stumble` its first try fails on purpose, so that a retry can be seen."""
    if stumble and run_context().try_number == 1:
        raise ConnectionError("the first try fails on purpose: see how it is retried")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "prefix": sys.prefix,
    }


@task
def list_distributions() -> list[str]:
    """The names of everything installed."""
    return distributions.installed()


@task
def read_distribution(name: str) -> dict[str, Any]:
    """Metadata and file list of one distribution."""
    return {**distributions.read(name), "paths": distributions.files_of(name)}


@task
def hash_batch(batch: list[list[str]]) -> dict[str, Any]:
    """Hashes one batch of files and compares them with what their installer recorded."""
    found = distributions.hash_files([(path, recorded) for path, recorded in batch])
    return dict(found)


@task
def resolve_dependencies(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The dependency graph: who needs whom, what is unmet, what goes round in circles."""
    return dict(requirements.resolve([cast("distributions.Distribution", d) for d in found]))


@task
def render_report(found: dict[str, Any]) -> bytes:
    """The report as HTML. Its digest in the log is the digest of the file that is written from it."""
    return report.page(found)


@task
def write_report(folder: str, html: bytes, found: dict[str, Any]) -> str:
    """Writes inventory.html and inventory.json; returns the path of the first."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "inventory.json").write_text(
        json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    path = target / "inventory.html"
    path.write_bytes(html)
    return str(path)


def _facts(dist: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dist.items() if key != "paths"}


def _batches(paths: list[list[str]], of: int) -> list[list[list[str]]]:
    return [paths[i : i + of] for i in range(0, len(paths), of)]


@flow(name="inventory")
def inventory(
    folder: str = "report", files_per_batch: int = 50, *, stumble: bool = True
) -> dict[str, Any]:
    """Takes stock of this Python environment: every distribution, every file, every requirement."""
    log = get_run_logger()
    environment = read_environment(stumble=stumble)
    names = list_distributions()
    log.info("%d distributions on Python %s", len(names), environment["python"])

    found = [future.result() for future in read_distribution.map(names)]
    batches = _batches([path for dist in found for path in dist["paths"]], files_per_batch)
    log.info("%d files in %d batches", sum(len(b) for b in batches), len(batches))
    hashed = [future.result() for future in hash_batch.map(batches)]

    facts = [_facts(dist) for dist in found]
    graph = resolve_dependencies(facts)
    summary = {
        "environment": environment,
        "distributions": facts,
        "files": sum(h["files"] for h in hashed),
        "bytes": sum(h["size"] for h in hashed),
        "changed": sorted(path for h in hashed for path in h["changed"]),
        "missing": sorted(path for h in hashed for path in h["missing"]),
        "digest": hashlib.sha256("".join(h["digest"] for h in hashed).encode()).hexdigest(),
        # What this run executes: the two first, one a distribution, one a batch, the three last.
        "tasks": 2 + len(names) + len(batches) + 3,
        **graph,
    }
    html = render_report(summary)
    path = write_report(folder, html, summary)
    log.info("report: %s", path)
    return {
        "report": path,
        "sha256": hashlib.sha256(html).hexdigest(),
        "tasks": summary["tasks"],
        "distributions": len(names),
        "files": summary["files"],
    }
