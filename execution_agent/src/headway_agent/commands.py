"""The verbs `headway agent ...`. The shell imports this module at each start, so it imports nothing that is slow."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from headway_agent.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

_COMMON = (
    click.option("--server", metavar="HOST:PORT", help="The control plane. [HEADWAY_AGENT_SERVER]"),
    click.option(
        "--ca", type=_EXISTING, help="PEM file of a private authority. [HEADWAY_AGENT_CA]"
    ),
    click.option("--insecure", is_flag=True, help="Speak without TLS beyond this machine."),
    click.option("--state-dir", type=_DIRECTORY, help="Default: $HEADWAY_HOME/agent."),
    click.option("--pool", help="Refuse to run for another pool than this one."),
    click.option("--log-level", help="DEBUG, INFO, WARNING or ERROR. [HEADWAY_LOG_LEVEL]"),
)
_TOKEN = (
    click.option("--name", help="How this agent is called; without one, after its key."),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        help="Enrolment token; - reads standard input. [HEADWAY_AGENT_TOKEN_FILE]",
    ),
    click.option("--token-fd", type=int, help="Enrolment token from an inherited descriptor."),
)
_CODE = (
    click.option(
        "--root",
        "roots",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        multiple=True,
        help="Execute only flows below it; repeatable. Default: the current directory.",
    ),
    click.option(
        "--environments", type=_FILE, help="Default: environments.toml in the state directory."
    ),
)


def _options(*groups: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return add


def register(shell: click.Group) -> None:
    """Adds the verbs of this distribution."""
    shell.add_command(agent)
    shell.add_command(results)


@click.group()
def agent() -> None:
    """Run flows on this machine for a control plane."""


@agent.command(short_help="Connect and execute runs until told to drain.")
@_options(_COMMON, _TOKEN, _CODE)
@click.option("--slots", type=int, help="Runs at once; default: the number of processors.")
@click.option(
    "--tap", type=_FILE, help="Write everything that is sent to this file, as JSON lines."
)
@click.option("--drain-wait", is_flag=True, help="A drain waits for running attempts to end.")
@click.option("--parent-fd", type=int, help="An inherited pipe; its end drains the agent.")
@click.option(
    "--allow-faults",
    type=_FILE,
    hidden=True,
    help="For tests: kill at the point that this file names.",
)
def start(**given: Any) -> None:
    """Connect and execute until told to drain (Ctrl-C or SIGTERM; a second one stops now)."""
    settings = _settings(given)
    from headway_agent.main.agent import run  # noqa: PLC0415 (see the module)

    sys.exit(run(settings))


@agent.command()
@_options(_COMMON, _TOKEN)
@click.option("--force", is_flag=True, help="Take a new identity in place of the present one.")
def enrol(*, force: bool, **given: Any) -> None:
    """Trade a single-use token for this agent's identity."""
    settings = _settings(given)
    from headway_agent.main.enrolment import run  # noqa: PLC0415 (see the module)

    sys.exit(run(settings, force=force))


@agent.command(short_help="Check what the agent needs, hop by hop.")
@_options(_COMMON, _CODE)
def doctor(**given: Any) -> None:
    """Check everything the agent needs, hop by hop, and say what to do next."""
    settings = _settings(given)
    from headway_agent.main.doctor import run  # noqa: PLC0415 (see the module)

    sys.exit(run(settings))


@click.group()
def results() -> None:
    """Read what calls returned, on the customer's side."""


@results.command("get", short_help="Write a result to a file, from this machine or the store.")
@click.argument("what", metavar="RUN|REFERENCE")
@click.argument("call", required=False, default="")
@click.option(
    "-o", "file", type=click.Path(path_type=Path, allow_dash=True), required=True, help="Or -."
)
@click.option("--state-dir", type=_DIRECTORY, help="Default: $HEADWAY_HOME/agent.")
def get_result(what: str, call: str, file: Path, state_dir: Path | None) -> None:
    """Write a result to a file, as it was encoded: JSON, .npy, Arrow.

    RUN is the id of a run whose journal is on this machine: what the run gave, or what its call CALL gave (its name, or the
    beginning of its key; of several the last one). REFERENCE is where a store has a value, as the run's page shows it.
    """
    settings = _settings({"state_dir": state_dir})
    from headway_agent.main.results import NoResult, get  # noqa: PLC0415 (see the module)

    try:
        said = get(settings, what, call, file)
    except NoResult as error:
        raise click.ClickException(str(error)) from error
    click.echo(said, err=True)


def _settings(given: dict[str, Any]) -> "Settings":
    from headway_agent.settings import BadSetting, Options, load, prepare_grpc  # noqa: PLC0415 (see the module)

    try:
        settings = load(Options(**given))
    except BadSetting as error:
        raise click.UsageError(str(error)) from error
    prepare_grpc()  # after the flows' environment was read: this is the agent's own affair
    return settings
