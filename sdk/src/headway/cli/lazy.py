"""Groups whose verbs are imported when they are used: `headway --help` must not pay for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True, slots=True)
class LazyVerb:
    """A verb by name: where it lives, `module:attribute`, and the line that help shows."""

    target: str
    help: str

    def load(self) -> click.Command:
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyCommand(click.Command):
    """Stands for a verb in a group that knows nothing of laziness; becomes the verb when it is used."""

    def __init__(self, name: str, verb: LazyVerb) -> None:
        super().__init__(name, help=verb.help, short_help=verb.help, add_help_option=False)
        self._verb = verb

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        return self._verb.load().make_context(info_name, args, parent, **extra)


def add_lazily(group: click.Group, verbs: Mapping[str, LazyVerb]) -> None:
    """Add verbs to a group without importing them."""
    for name, verb in verbs.items():
        group.add_command(LazyCommand(name, verb))
