"""What a declared graph is made of: steps, the arrows between them, and parameters of its flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from headway.errors import HeadwayError
from headway.tasks import Task

if TYPE_CHECKING:
    from headway.graphs import Graph

T = TypeVar("T")
S = TypeVar("S", bound="Step | Sequence[Step]")
Trigger = Literal["all_success", "all_done", "all_failed", "one_success", "one_failed"]


class InvalidGraph(HeadwayError, ValueError):
    """The steps make no flow: they go round in a circle, two have one name, or they are of different graphs."""


InvalidGraph.__module__ = "headway"


class Parameter:
    """Stands for a parameter of the flow among the arguments of steps."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name = name
        self.hint = hint
        self.default = default


class Step:
    """One call of a task. As an argument of another step it stands for its value; `>>` and `<<` give order alone."""

    def __init__(
        self,
        graph: Graph,
        task: Task[..., Any],
        trigger: Trigger,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.name = task.name
        self.task = task
        self.trigger = trigger
        self.args = args
        self.kwargs = kwargs
        self.above: dict[Step, None] = dict.fromkeys(inside((args, dict(kwargs)), Step))
        """What it waits for, in order."""
        self._graph = graph
        for step in self.above:
            self._same_graph(step)

    def __rshift__(self, other: S) -> S:
        """`a >> b`, `a >> [b, c]`: those wait for this. Gives what stands on the right."""
        for each in listed(other):
            each.wait_for(self)
        return other

    def __lshift__(self, other: S) -> S:
        """`b << a`: this waits for those. Gives what stands on the right."""
        self.wait_for(*listed(other))
        return other

    def __rrshift__(self, others: Sequence[Step]) -> Step:
        """`[a, b] >> c`."""
        self.wait_for(*listed(others))
        return self

    def __rlshift__(self, others: Sequence[Step]) -> Step:
        """`[b, c] << a`."""
        for each in listed(others):
            each.wait_for(self)
        return self

    def wait_for(self, *steps: Step) -> None:
        """Has it wait for steps. InvalidGraph when they are of another graph, or the graph is finished."""
        self._graph.check_open()
        for step in steps:
            self._same_graph(step)
            self.above[step] = None

    def _same_graph(self, other: Step) -> None:
        if other._graph is not self._graph:
            raise InvalidGraph(
                f"step {other.name!r} is of another graph than {self.name!r}: declare it in this one"
            )

    def __repr__(self) -> str:
        return f"<step {self.name}>"


def inside(value: Any, kind: type[T]) -> Iterator[T]:
    """The value, or what is in lists, tuples and dicts, where it is of that kind."""
    if isinstance(value, kind):
        yield value
    elif type(value) is dict:
        yield from inside(list(value.values()), kind)
    elif type(value) in (list, tuple):
        for each in value:
            yield from inside(each, kind)


def listed(steps: Step | Sequence[Step]) -> list[Step]:
    given = [steps] if isinstance(steps, Step) else list(steps)
    for each in given:
        if not isinstance(each, Step):
            raise InvalidGraph(f"{each!r} is no step: make one with step(...)")
    return given
