"""Flows declared as graphs, for those who think in steps and arrows: `a >> [b, c] >> d`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, get_args

from headway.flows import Flow
from headway.graph_execution import Execution
from headway.graph_steps import InvalidGraph, Parameter, Step, Trigger, inside
from headway.options import FLOW_DEFAULTS, choice, merged
from headway.tasks import Task

if TYPE_CHECKING:
    from typing import Unpack

    from headway.options import FlowOptions

# As its reference page says, a step's class is found here.
__all__ = ["Graph", "InvalidGraph", "Parameter", "Step", "dag_flow"]

_NO_DEFAULT = inspect.Parameter.empty


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
            trigger: When it is executed, by what came of the steps that it waits for; a failed one's result is the error
                itself wherever the trigger lets it fail.
                `all_success`: all have succeeded; else it fails likewise, without a try.
                `all_done`: they have ended, one way or another.
                `one_success`: one has succeeded, without waiting for the rest; fails likewise if none has.
                `all_failed`, `one_failed`: all have failed, or one, without waiting for the rest; else it is passed over,
                and with it what waits for it under any trigger but `all_done`. Its result is None.
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
        for parameter in inside((args, dict(kwargs)), Parameter):
            if self._parameters.get(parameter.name) is not parameter:
                raise InvalidGraph(
                    f"parameter {parameter.name!r} is of another graph than {named.name!r}: declare it in this one"
                )
        choice("trigger", trigger, get_args(Trigger))
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
        for step in order:
            if not step.above and step.trigger not in {"all_success", "all_done"}:
                raise InvalidGraph(
                    f"step {step.name!r} goes by what comes of others ({step.trigger}), and waits for none: give it an arrow"
                )
        waited_for = {above for step in order for above in step.above}
        last = [step for step in order if step not in waited_for]

        def run(**given: Any) -> dict[str, Any]:
            futures = Execution(order, given).run()
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
