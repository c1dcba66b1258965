"""The command `headway`. Verbs come from the entry points of the group `headway.commands`."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points

try:
    import click
except ImportError:
    sys.exit("The command line of Headway is an extra. Install it with: pip install 'headway[cli]'")

from headway.cli.exits import HELP
from headway.version import __version__

GROUP = "headway.commands"
Register = Callable[[click.Group], None]


class Shell(click.Group):
    """Loads a distribution's verbs only when no distribution before it knows the verb: starting must stay fast."""

    def __init__(self, sources: list[EntryPoint]) -> None:
        super().__init__("headway", help="Run Python workflows where your data is.", epilog=HELP)
        self.params.append(_version_option())
        self._sources = sources

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        while (found := super().get_command(ctx, cmd_name)) is None and self._sources:
            self._load(self._sources.pop(0))
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        while self._sources:
            self._load(self._sources.pop(0))
        return super().list_commands(ctx)

    def _load(self, source: EntryPoint) -> None:
        """Add a distribution's verbs; one that is broken takes away its own verbs and no other's."""
        try:
            register: Register = source.load()
        except ImportError as error:
            package = source.dist.name if source.dist else source.value
            click.echo(f"The commands of {package} cannot be loaded: {error}", err=True)
            click.echo(
                f"Install it again with all it needs: pip install --upgrade {package}", err=True
            )
        else:
            register(self)


def main() -> None:
    """Run the command line."""
    Shell(list(_sources()))()


def _version_option() -> click.Option:
    def show(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo(f"headway {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the version.",
    )


def _sources() -> Iterator[EntryPoint]:
    """Yield the client's verbs first: they are used most, and it imports least."""
    yield from sorted(
        entry_points(group=GROUP), key=lambda source: (source.name != "client", source.name)
    )


if __name__ == "__main__":
    main()
