"""`headway deploy MODULE:FLOW`: make a flow runnable."""

import re
from pathlib import Path
from typing import Any

import click

from headway.cli.client import Client, Json
from headway.cli.environments import Environment, record
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.introspection import choose_python, entrypoint_of, introspect
from headway.cli.output import json_option, print_json
from headway.cli.settings import environments_path

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_PROJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
MAX_RUNS = 1_000
MAX_MEMORY_MB = 1_024
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("target", metavar="MODULE:FLOW")
@click.option("--name", help="Of the deployment; the flow's own if left out.")
@click.option("--pool", default="local", show_default=True, help="Whose agents execute it.")
@click.option(
    "--environment", default="default", show_default=True, help="Name for this Python and root."
)
@click.option(
    "--replace-environment",
    is_flag=True,
    help="Let the environment's name stand for this Python and root from now on.",
)
@click.option(
    "--python",
    type=_FILE,
    help="The interpreter; the active or the project's virtual environment if left out.",
)
@click.option(
    "--root",
    type=_DIRECTORY,
    default=Path(),
    help="Directory to import from; this one if left out.",
)
@click.option(
    "--env-file",
    type=_FILE,
    help="KEY=VALUE lines for the flow's environment; they stay on this machine. Left out, the environment keeps the one that it has.",
)
@click.option(
    "--project",
    callback=lambda _context, _option, value: _project(value),
    help="The code's name wherever it is executed: environments of one project share cached results, also of other pools. Left out, the environment keeps the one that it has.",
)
@click.option(
    "--isolation",
    type=click.Choice(["process", "reuse"]),
    help="A process for each run, or one that takes run after run of the same code; the flow's own option if left out.",
)
@click.option(
    "--max-runs-per-process",
    type=click.IntRange(1),
    help=f"With reuse: a process then ends. Default {MAX_RUNS:,}.",
)
@click.option(
    "--max-memory-mb",
    type=click.IntRange(1),
    help=f"With reuse: a process that holds more MiB ends. Default {MAX_MEMORY_MB:,}.",
)
@click.option("--tag", "tags", multiple=True, help="Beside the flow's own. Repeatable.")
@click.option("--check", is_flag=True, help="Say what would change and change nothing.")
@json_option
def deploy(
    target: str, name: str | None, root: Path, output: str, check: bool, **options: Any
) -> None:
    """Make a flow runnable: MODULE:FLOW is package.module:function, or path/to/file.py:function.

    The flow is imported by its own Python, which is recorded for this machine's agent together with the root; the control plane
    gets its name, parameters and options, never its code. Deploying the same again changes nothing.
    """
    root = root.resolve()
    python = choose_python(options["python"], root)
    described = introspect(python, entrypoint_of(target, root), root)
    body = declaration(
        described,
        name=name,
        pool=options["pool"],
        environment=options["environment"],
        tags=options["tags"],
    ) | isolation(described, options)
    client = Client.of_profile()
    if check:
        _tell_check(body, _standing(client, body["name"]), output)
        return
    env_file = str(options["env_file"].absolute()) if options["env_file"] else ""
    record(
        environments_path(),
        options["environment"],
        Environment(str(python), str(root), env_file, options["project"] or ""),
        replace=options["replace_environment"],
    )
    _tell(client.post("/deployments", body), output)


def _project(name: str | None) -> str | None:
    if name is not None and not _PROJECT.fullmatch(name):
        raise click.BadParameter("use letters, digits, dot, dash")
    return name


def declaration(
    described: Json, *, name: str | None, pool: str, environment: str, tags: tuple[str, ...]
) -> Json:
    """What is sent: the flow as its Python describes it, and where it shall run."""
    delays = described["retry_delay_s"]
    first = (delays[0] if delays else 0) if isinstance(delays, list) else delays
    return {
        "name": name or slug(described["flow"]),
        "flow": described["flow"],
        "pool": pool,
        "environment": environment,
        "entrypoint": described["entrypoint"],
        "code_hash": described["code_hash"],
        "flow_version": described.get(
            "version", ""
        ),  # an older SDK in the flow's environment says none
        "parameter_schema": described["parameter_schema"],
        "defaults": described["parameter_defaults"],
        "description": described["description"],
        "tags": list(dict.fromkeys([*described["tags"], *tags])),
        "retries": described["retries"],
        "retry_delay_ms": round(first * 1000),
        "on_lost": described["on_lost"],
        # An older SDK in the flow's environment does not know it.
        "cancel_grace_ms": max(1, round(described.get("cancel_grace_s", 5.0) * 1000)),
    }


def isolation(described: Json, options: Json) -> Json:
    """What the command line says, else the flow itself; limits where runs share a process."""
    limits = {"max_runs_per_process": MAX_RUNS, "max_memory_mb": MAX_MEMORY_MB}
    # An older SDK in the flow's environment knows none of them.
    if (options["isolation"] or described.get("isolation", "process")) == "process":
        if given := [name for name in limits if options[name] is not None]:
            option = f"--{given[0].replace('_', '-')}"
            raise click.UsageError(f"{option} is for deployments with --isolation reuse.")
        return {"isolation": "process"}
    chosen = {name: options[name] or described.get(name) for name in limits}
    return {"isolation": "reuse"} | {name: chosen[name] or limits[name] for name in limits}


def slug(text: str) -> str:
    """A name for URLs and commands."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "flow"


def differences(body: Json, standing: Json | None) -> list[str]:
    """The fields that a deploy would change."""
    if standing is None:
        return list(body)
    flat = standing | {"pool": standing["pool"]["name"]}
    return [field for field, value in body.items() if flat.get(field) != value]


def _standing(client: Client, name: str) -> Json | None:
    try:
        found: Json = client.get(f"/deployments/{name}")
    except CommandError as error:
        if error.exit_code == Exit.REFUSED:
            return None
        raise
    return found


def _tell_check(body: Json, standing: Json | None, output: str) -> None:
    changed = differences(body, standing)
    if output == "json":
        print_json({"deployment": body, "exists": standing is not None, "changes": changed})
    elif standing is None:
        click.echo(
            f"{body['name']} would be created in pool {body['pool']} ({body['entrypoint']})."
        )
    elif changed:
        click.echo(f"{body['name']} would change: {', '.join(changed)}.")
    else:
        click.echo(f"{body['name']} is up to date.")


def _tell(done: Json, output: str) -> None:
    if output == "json":
        print_json(done)
        return
    what = (
        "was created" if done["created"] else "was changed" if done["changed"] else "is up to date"
    )
    click.echo(
        f"{done['name']} {what}: {done['entrypoint']} in pool {done['pool']['name']}, environment {done['environment']}."
    )
    click.echo(f"Next: {run_command(done)}", err=True)


def run_command(deployment: Json) -> str:
    """The command that starts a run, with a gap for each parameter that must be given."""
    required = deployment["parameter_schema"].get("required", [])
    gaps = "".join(f" -p {name}=..." for name in required if name not in deployment["defaults"])
    return f"headway run {deployment['name']}{gaps} --watch"
