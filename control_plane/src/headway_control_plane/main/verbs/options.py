"""Options that several verbs share, and how problems reach the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from headway_control_plane.db.errors import DatabaseProblem
from headway_control_plane.main.ports import PortTaken
from headway_control_plane.observability.logging import configure_logging
from headway_control_plane.settings import BadSetting, Settings, meanings

Function = TypeVar("Function", bound=Callable[..., Any])


def setting(name: str, kind: Any = str) -> Callable[[Function], Function]:
    """Return an option for a setting, explained by the setting's own words."""
    variable, _, meaning = meanings()[name]
    return click.option(
        f"--{name.replace('_', '-')}", name, type=kind, default=None, help=f"{meaning} [{variable}]"
    )


def address_options(function: Function) -> Function:
    """Add the options for where the control plane listens."""
    for name, kind in (
        ("grpc_port", int),
        ("grpc_host", str),
        ("http_port", int),
        ("http_host", str),
    ):
        function = setting(name, kind)(function)
    return function


def home_option(function: Function) -> Function:
    return setting("home", click.Path(file_okay=False, path_type=Path))(function)


@contextmanager
def problems_as_messages() -> Iterator[None]:
    """Show what a person can act on as a message instead of a traceback."""
    try:
        yield
    except (DatabaseProblem, PortTaken, BadSetting) as problem:
        raise click.ClickException(str(problem)) from problem


@contextmanager
def log_to_home(settings: Settings, name: str) -> Iterator[None]:
    """Write this process's own log to a file beside those of its parts: the terminal is for people."""
    path = settings.home / "log" / f"{name}.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        configure_logging(settings.log_format, settings.log_level, stream)
        yield
