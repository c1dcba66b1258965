"""What the journal has and the control plane may never have heard of: an earlier attempt was lost."""

from support.flow_process import Project

RUN = "0199d6a0-0000-7000-8000-00000000000a"
KNOWS = {"run": RUN, "answers": [], "knows": ["runs"]}
TWO = """
@flow
def main(timeout: float | None = None):
    children = [submit_deployment("part", {"n": n}, timeout=timeout) for n in range(2)]
    return [child.result().state for child in children]
"""


def known(*asked: dict) -> list[dict]:
    return [{"call": each["call"], "run": each["run"], "wish": ""} for each in asked]


def test_what_nobody_heard_of_is_asked_for_again_as_the_same_run(project: Project):
    project.write(TWO)
    first = project.run(**KNOWS)
    asked = first.of("run.requested")
    assert len(asked) == 2
    assert project.run(**KNOWS).of("run.requested") == []
    heard, other = asked
    again = project.run(**KNOWS, unheard=True, asked_runs=known(heard))
    assert [each["run"] for each in again.of("run.requested")] == [other["run"]]
    assert [wait["run"] for wait in again.ended["waits"]] == [each["run"] for each in asked]
    both = project.run(**KNOWS, unheard=True, asked_runs=known(*asked))
    assert both.of("run.requested") == []


def test_who_does_not_wait_has_it_asked_for_again_too(project: Project):
    """The call has ended: the run that it asked for is told again beside it, and nothing is executed."""
    project.write(TWO)
    first = project.run({"timeout": 0}, **KNOWS)
    asked = first.of("run.requested")
    again = project.run({"timeout": 0}, **KNOWS, unheard=True, asked_runs=known(asked[0]))
    [told] = again.of("run.requested")
    of = ("run", "call", "name", "parameters", "waited")
    assert [told[name] for name in of] == [asked[1][name] for name in of]
    assert set(again.outcomes()) == {"skipped"}


def test_a_run_of_an_earlier_run_is_none_of_its_own(project: Project):
    project.write(TWO)
    project.run({"timeout": 0}, **KNOWS)
    fork = {
        **KNOWS,
        "run": RUN[:-1] + "b",
        "cuts": [{"logs": 1, "call": "", "around": [], "at_us": 0}],
    }
    made = project.run({"timeout": 0}, **fork, unheard=True)
    assert made.of("run.requested") == []


def test_where_not_all_can_be_told_no_second_run_is_asked_for(project: Project):
    """What the journal knows, and what is told, goes on; of any other call nobody can say whether it has asked."""
    project.write(TWO)
    first = project.run(**KNOWS)
    asked = first.of("run.requested")
    cut = {"unheard": True, "asked_runs_cut": True}
    here = project.run(**KNOWS, **cut, asked_runs=known(asked[0]))
    assert [each["run"] for each in here.of("run.requested")] == [asked[1]["run"]]
    project.logs[:] = [f"{path}.of-the-other-machine" for path in project.logs]
    elsewhere = project.run(**KNOWS, **cut, salt="other")
    assert elsewhere.of("run.requested") == []
    assert elsewhere.ended["outcome"] == "failed"
    assert "a second one is not started" in elsewhere.ended["error"]["message"]
    alone = project.run(**KNOWS, salt="third", unheard=True)
    assert len(alone.of("run.requested")) == 2
