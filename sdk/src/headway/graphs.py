"""Flows declared as graphs, for those who think in steps and arrows: `a >> [b, c] >> d`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from headway.errors import HeadwayError
from headway.flows import Flow
from headway.futures import Future, allow_failure
from headway.options import FLOW_DEFAULTS, choice, merged
from headway.tasks import Task

if TYPE_CHECKING:
    from typing import Unpack

    from headway.options import FlowOptions

T = TypeVar("T")
S = TypeVar("S", bound="Step | Sequence[Step]")
Trigger = Literal["all_success", "all_done"]
_NO_DEFAULT = inspect.Parameter.empty


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
        self.above: dict[Step, None] = dict.fromkeys(_inside((args, dict(kwargs)), Step))
        """What it waits for, in order."""
        self._graph = graph
        for step in self.above:
            self._same_graph(step)

    def __rshift__(self, other: S) -> S:
        """`a >> b`, `a >> [b, c]`: those wait for this. Gives what stands on the right."""
        for each in _listed(other):
            each.wait_for(self)
        return other

    def __lshift__(self, other: S) -> S:
        """`b << a`: this waits for those. Gives what stands on the right."""
        self.wait_for(*_listed(other))
        return other

    def __rrshift__(self, others: Sequence[Step]) -> Step:
        """`[a, b] >> c`."""
        self.wait_for(*_listed(others))
        return self

    def __rlshift__(self, others: Sequence[Step]) -> Step:
        """`[b, c] << a`."""
        for each in _listed(others):
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


class Graph:
    """Steps and their order, while they are declared; `flow` is what becomes of them."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._steps: dict[str, Step] = {}
        self._parameters: dict[str, Parameter] = {}
        self._flow: Flow[..., dict[str, Any]] | None = None

    def step(
        self,
        task: Task[..., Any],
        /,
        *args: Any,
        step_name: str = "",
        trigger: Trigger = "all_success",
        **kwargs: Any,
    ) -> Step:
        """Declares one call of a task.

        Args:
            task: The task; its retries, time limits and hooks are its own.
            *args: Its arguments: values, steps (their results), parameters of the flow, also inside lists, tuples, dicts.
            step_name: Names this call; the task's name by default. Needed for the second step of one task.
            trigger: `all_success`: executed if all that it waits for has succeeded; else it fails likewise, without a
                try. `all_done`: executed whatever came of them; a failed step's result is then the error itself.
            **kwargs: Its arguments by name.

        Raises:
            InvalidGraph: There is a step of that name, this is no task, or the graph is finished.
            InvalidOption: Such a name or trigger cannot be.
        """
        self.check_open()
        if not isinstance(task, Task):
            raise InvalidGraph(f"{task!r} is no task: decorate it with @task")
        named = task.with_options(name=step_name) if step_name else task
        if named.name in self._steps:
            raise InvalidGraph(
                f"there are two steps {named.name!r}: tell them apart, as in step({task.name}, step_name=...)"
            )
        for parameter in _inside((args, dict(kwargs)), Parameter):
            if self._parameters.get(parameter.name) is not parameter:
                raise InvalidGraph(
                    f"parameter {parameter.name!r} is of another graph than {named.name!r}: declare it in this one"
                )
        choice("trigger", trigger, ("all_success", "all_done"))
        step = self._steps[named.name] = Step(self, named, trigger, args, kwargs)
        return step

    def param(self, name: str, hint: Any = Any, default: Any = _NO_DEFAULT) -> Any:
        """Declares a parameter of the flow and gives what stands for it among the arguments of steps.

        Args:
            name: Its name.
            hint: Its type, by which runs check it.
            default: Its value where a run gives none; without it, a run must.

        Raises:
            InvalidGraph: There is one of that name, it is no name in Python, or the graph is finished.
        """
        self.check_open()
        if name in self._parameters or not name.isidentifier():
            raise InvalidGraph(f"{name!r} is there already, or cannot name a parameter")
        made = self._parameters[name] = Parameter(name, hint, default)
        return made

    @property
    def flow(self) -> Flow[..., dict[str, Any]]:
        """The flow: submits each step once, and returns the results of the last ones (nobody waits for them) by name.

        InvalidGraph before the `with` block has ended.
        """
        if self._flow is None:
            raise InvalidGraph("the graph is not finished: take its flow after the `with` block")
        return self._flow

    def check_open(self) -> None:
        """Raises InvalidGraph once the graph is finished."""
        if self._flow is not None:
            raise InvalidGraph("the graph is finished: declare its steps inside the `with` block")

    def finish(self) -> None:
        """Makes the flow. InvalidGraph for a graph without steps, or with a circle."""
        if not self._steps:
            raise InvalidGraph("the graph has no steps: declare them inside the `with` block")
        order = in_order(self._steps.values())
        waited_for = {above for step in order for above in step.above}
        last = [step for step in order if step not in waited_for]

        def run(**given: Any) -> dict[str, Any]:
            futures: dict[Step, Future[Any]] = {}
            for step in order:
                futures[step] = _submit(step, futures, given)
            return {step.name: futures[step].result() for step in last}

        self._flow = Flow(_shaped(run, self._options["name"], self._parameters), self._options)


@contextmanager
def dag_flow(name: str, /, **options: Unpack[FlowOptions]) -> Iterator[Graph]:
    """Declares a flow as a graph of steps; after the `with` block, `dag.flow` is an ordinary flow.

    Args:
        name: The flow's.
        **options: As of `headway.flow`.

    Raises:
        InvalidGraph: At the end of the block: it has no steps, or steps that wait for each other in a circle.
        InvalidOption: As `headway.flow`.
    """
    graph = Graph(merged(FLOW_DEFAULTS, {**options, "name": name}))
    yield graph
    graph.finish()


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Each step behind all that it waits for. InvalidGraph names the steps of a circle."""
    try:
        return list(TopologicalSorter({step: step.above for step in steps}).static_order())
    except CycleError as error:
        circle = " >> ".join(step.name for step in error.args[1])
        raise InvalidGraph(f"steps wait for each other in a circle: {circle}") from None


def _submit(
    step: Step, futures: Mapping[Step, Future[Any]], given: Mapping[str, Any]
) -> Future[Any]:
    def mark(future: Future[Any]) -> Any:
        return allow_failure(future) if step.trigger == "all_done" else future

    def filled(value: Any) -> Any:
        if isinstance(value, Step):
            return mark(futures[value])
        if isinstance(value, Parameter):
            return given[value.name]
        if type(value) is dict:
            return {name: filled(each) for name, each in value.items()}
        return type(value)(map(filled, value)) if type(value) in (list, tuple) else value

    after = [mark(futures[above]) for above in step.above]
    args, kwargs = filled(step.args), filled(dict(step.kwargs))
    submitted: Future[Any] = step.task.submit(*args, wait_for=after, **kwargs)
    return submitted


def _shaped(
    run: Callable[..., Any], name: str, parameters: Mapping[str, Parameter]
) -> Callable[..., Any]:
    """The function under the flow's name, with the signature that runs and forms go by."""
    kind = inspect.Parameter.KEYWORD_ONLY

    def shaped(**given: Any) -> Any:
        bound = signature.bind(**given)
        bound.apply_defaults()
        return run(**bound.arguments)

    signature = inspect.Signature(
        [
            inspect.Parameter(each.name, kind, default=each.default, annotation=each.hint)
            for each in parameters.values()
        ]
    )
    shaped.__name__ = shaped.__qualname__ = name
    shaped.__doc__ = None
    shaped.__annotations__ = {each.name: each.hint for each in parameters.values()}
    shaped.__signature__ = signature  # type: ignore[attr-defined] # what inspect.signature looks at first
    return shaped


def _inside(value: Any, kind: type[T]) -> Iterator[T]:
    """The value, or what is in lists, tuples and dicts, where it is of that kind."""
    if isinstance(value, kind):
        yield value
    elif type(value) is dict:
        yield from _inside(list(value.values()), kind)
    elif type(value) in (list, tuple):
        for each in value:
            yield from _inside(each, kind)


def _listed(steps: Step | Sequence[Step]) -> list[Step]:
    listed = [steps] if isinstance(steps, Step) else list(steps)
    for each in listed:
        if not isinstance(each, Step):
            raise InvalidGraph(f"{each!r} is no step: make one with step(...)")
    return listed
