"""Flows declared as graphs of steps."""

from datetime import date
from itertools import pairwise

import pytest

import headway
from headway import InvalidGraph, InvalidOption, ParameterError, dag_flow, flow, task
from headway.graphs import Graph
from headway.parameters import schema
from headway.testing import Harness, harness
from support.flow_process import Project


@pytest.fixture
def h():
    with harness() as made:
        yield made


@task
def extract(table: str) -> list[int]:
    return [len(table)]


@task
def check() -> None: ...


@task(retries=1, retry_delay=60)
def fail() -> None:
    raise ValueError("broken")


@task
def total(*given: object, extra: object = None) -> str:
    return f"{given} {extra}"


def names(h: Harness, graph: Graph, **parameters: object) -> list[str]:
    return [
        call.name for call in h.run(graph.flow, **parameters).calls if call.state == "completed"
    ]


def test_arrows_give_order(h: Harness):
    with dag_flow("nightly", retries=2) as dag:
        d, c, b = (dag.step(check, step_name=name) for name in "dcb")
        a = dag.step(extract, "t", step_name="a")
        assert a >> [b, c] >> d is d
    assert names(h, dag) == ["a", "c", "b", "d"]
    assert h.run(dag.flow).result() == {"d": None}
    assert (dag.flow.name, dag.flow.run_retries.limit) == ("nightly", 2)


def test_arrows_point_the_other_way_too(h: Harness):
    with dag_flow("main") as dag:
        a, b, c, d = (dag.step(check, step_name=name) for name in "abcd")
        assert a << [b, c] == [b, c]
        _ = [b, c] << d
        a << d
    assert names(h, dag) == ["d", "b", "c", "a"]


def test_values_give_order_and_parameters_are_the_flows(h: Harness):
    with dag_flow("main") as dag:
        day = dag.param("day", date)
        table = dag.param("table", str, default="orders")
        rows = dag.step(extract, table)
        dag.step(
            total, rows, [rows, 1], ("x",), extra={"rows": rows, "day": day}, step_name="report"
        )
    run = h.run(dag.flow, day="2026-11-22")
    told = "([6], [[6], 1], ('x',)) {'rows': [6], 'day': datetime.date(2026, 11, 22)}"
    assert run.result() == {"report": told}
    assert schema(dag.flow)["required"] == ["day"]
    assert isinstance(h.run(dag.flow, day="x").error, ParameterError)
    assert isinstance(h.run(dag.flow).error, ParameterError)


def test_what_waits_for_a_failed_step_fails_untried(h: Harness):
    with dag_flow("main") as dag:
        dag.step(fail) >> dag.step(check) >> dag.step(total)
    run = h.run(dag.flow)
    assert str(run.error) == "broken"
    assert {call.name: call.tries for call in run.calls} == {"fail": 2, "check": 0, "total": 0}


def test_all_done_goes_on_whatever_came(h: Harness):
    with dag_flow("main") as dag:
        broken = dag.step(fail)
        after = dag.step(total, broken, trigger="all_done")
        dag.step(check) >> after
    assert h.run(dag.flow).result() == {"total": "(ValueError('broken'),) None"}


def test_a_failed_last_step_fails_the_flow(h: Harness):
    with dag_flow("main") as dag:
        dag.step(check)
        dag.step(fail)
    assert h.run(dag.flow).state == "failed"


def test_a_crash_anywhere_repeats_nothing_that_completed(h: Harness):
    with dag_flow("main") as dag:
        a = dag.step(extract, "ab", step_name="a")
        b = dag.step(extract, "abc", step_name="b")
        dag.step(total, a, b)
    for run in h.crashes(dag.flow):
        assert run.result() == {"total": "([2], [3]) None"}
        done = {c.name for c in run.attempts[0].calls if c.state == "completed"}
        assert {c.name for c in run.calls if c.state == "skipped"} == done


def test_it_is_a_flow_like_others(h: Harness):
    with dag_flow("inner") as dag:
        n = dag.param("table", str)
        dag.step(extract, n)

    @flow
    def outer():
        return dag.flow(table="abcd")

    assert dag.flow(table="abc") == {"extract": [3]}
    assert h.run(outer).result() == {"extract": [4]}


def circle(names: str) -> None:
    with dag_flow("main") as dag:
        steps = {name: dag.step(check, step_name=name) for name in sorted(set(names))}
        for before, after in pairwise(names):
            steps[before] >> steps[after]


def test_circles_are_named():
    with pytest.raises(InvalidGraph, match=r"a >> b >> c >> a|b >> c >> a >> b|c >> a >> b >> c"):
        circle("abca")
    with pytest.raises(InvalidGraph, match="circle: a >> a"):
        circle("aa")
    circle("abcd")


def test_what_makes_no_graph_is_refused():
    with dag_flow("other") as other:
        foreign = other.step(check)
        size = other.param("size")
    with dag_flow("main") as dag:
        a = dag.step(check)
        with pytest.raises(InvalidGraph, match=r"two steps 'check'.*step_name"):
            dag.step(check)
        with pytest.raises(InvalidGraph, match="another graph"):
            a.wait_for(foreign)
        with pytest.raises(InvalidGraph, match="another graph"):
            dag.step(total, [foreign])
        with pytest.raises(InvalidGraph, match="parameter 'size' is of another graph"):
            dag.step(total, {"n": size})
        with pytest.raises(InvalidGraph, match="decorate it with @task"):
            dag.step(len)  # type: ignore[arg-type]
        with pytest.raises(InvalidGraph, match="is no step"):
            a >> [check]
        with pytest.raises(InvalidOption, match="trigger"):
            dag.step(fail, trigger="some_failed")  # type: ignore[arg-type]
        with pytest.raises(InvalidGraph, match="not finished"):
            dag.flow
        dag.param("day")
        for wrong in ("day", "a b"):
            with pytest.raises(InvalidGraph, match="cannot name a parameter"):
                dag.param(wrong)
    with pytest.raises(InvalidGraph, match="is finished"):
        dag.step(fail)
    with pytest.raises(InvalidGraph, match="is finished"):
        a.wait_for(a)
    with pytest.raises(InvalidGraph, match="no steps"), dag_flow("empty"):
        pass
    with pytest.raises(InvalidOption), dag_flow("main", retries=-1) as dag:
        dag.step(check)


def test_an_error_in_the_block_is_the_users():
    with pytest.raises(KeyError), dag_flow("main"):
        raise KeyError
    assert headway.dag_flow is dag_flow


def test_an_agent_runs_it(project: Project):
    project.write("""
    from headway import dag_flow

    @task
    def load(table):
        return len(table)

    with dag_flow("nightly") as dag:
        table = dag.param("table", str)
        dag.step(load, table, step_name="a") >> dag.step(load, "ab", step_name="b")

    main = dag.flow
    """)
    outcome = project.run({"table": "abc"})
    assert outcome.ended["result"]["data"] == '{"b":2}'
    assert outcome.outcomes("a") == outcome.outcomes("b") == ["completed"]
    assert project.run({"table": "abc"}).outcomes() == ["skipped", "skipped"]
