"""Variables that runs set, over a real log: in the order of the log, in the flush that appends the fact, each told with its run."""

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.variables import set_variable
from headway_control_plane.db.pool import Role
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.domain.variables.state import STREAM
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections import variables
from support.log_fixtures import exited, new_fleet, started
from support.output_facts import report, written

pytestmark = pytest.mark.postgres


async def values(fleet) -> dict[str, object]:
    async with fleet.log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        page = await variables.list_variables(connection, fleet.ws)
    return {view.name: view.value for view in page.items}


async def history(fleet, name: str):
    reader = Reader(fleet.log.database)
    async with fleet.log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        version = await variables.version_of(connection, fleet.ws)
    return await variables.history(reader, fleet.ws, version, name=name)


async def by_a_person(fleet, name: str, value: object, tags=()):
    await set_variable(fleet.log, fleet.ws, actor="token/ann", name=name, value=value, tags=tags)


async def test_who_writes_last_wins_and_the_history_names_the_run(fleet):
    run = await fleet.granted_run()
    await by_a_person(fleet, "n", 1, ["etl"])
    told = [written("n", 2), written("other", {"a": [1]}), written("n", 3, number=1)]
    assert (await report(fleet, run, 1, started(), *told)).verdict == "ok"
    assert await values(fleet) == {"n": 3, "other": {"a": [1]}}
    await by_a_person(fleet, "n", 4)
    assert await values(fleet) == {"n": 4, "other": {"a": [1]}}
    changes = await history(fleet, "n")
    assert [(c.kind, c.value, c.actor) for c in changes] == [
        ("set", "4", "token/ann"),
        ("set", "3", f"run/{run}"),
        ("set", "2", f"run/{run}"),
        ("set", "1", "token/ann"),
    ]
    assert changes[1].tags == ("etl",)


async def test_the_same_facts_again_write_once(fleet):
    run = await fleet.granted_run()
    await report(fleet, run, 1, started(), written("n", 1))
    await by_a_person(fleet, "n", 2)
    await report(fleet, run, 1, started(), written("n", 1))
    assert await values(fleet) == {"n": 2}


async def test_deleting_what_is_there_and_what_is_not(fleet):
    run = await fleet.granted_run()
    await by_a_person(fleet, "n", 1)
    told = [written("n"), written("never")]
    assert (await report(fleet, run, 1, started(), *told)).verdict == "ok"
    assert await values(fleet) == {}
    assert [c.kind for c in await history(fleet, "n")] == ["unset", "set"]
    assert await history(fleet, "never") == []


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (written("n", 2, expected_version=7), "has version 1, not version 7"),
        (written("n", 2, expected_version=0), "has version 1, not version 0"),
        (written("n", expected_version=7), "has version 1, not version 7"),
        (written("n", 2, withheld=True), "withheld"),
        (written("n", "x" * 70_000), "65,536"),
        (written("n", "a\0b"), "NUL"),
        (written("n", 2, tags=[" "]), "is empty"),
        (written("kept", 2), "the tag 'protected'"),
        (written("kept"), "the tag 'protected'"),
    ],
)
async def test_a_write_that_is_refused_changes_nothing_and_stands_in_the_history(
    fleet, told, reason
):
    run = await fleet.granted_run()
    await by_a_person(fleet, "n", 1)
    await by_a_person(fleet, "kept", 1, ["protected"])
    before = await values(fleet)
    name = attempt_pb2.VariableWritten.FromString(told.fact.payload).name
    verdict = await report(fleet, run, 1, started(), told, written("after", True))
    assert verdict.verdict == "ok"
    assert await values(fleet) == {**before, "after": True}
    [refused, *_] = await history(fleet, name)
    assert (refused.kind, refused.actor) == ("refused", f"run/{run}")
    assert reason in refused.reason


async def test_expected_versions_that_are_met(fleet):
    run = await fleet.granted_run()
    told = [written("n", 1, expected_version=0), written("n", 2, expected_version=1)]
    await report(fleet, run, 1, started(), *told, written("n", 2, expected_version=1, number=1))
    assert await values(fleet) == {"n": 2}
    assert [c.kind for c in await history(fleet, "n")] == ["set", "set"]


async def test_a_name_that_was_withheld_or_is_none_is_passed_over(fleet):
    run = await fleet.granted_run()
    told = [written("", 1), written("no spaces", 1), written("n", 1)]
    assert (await report(fleet, run, 1, started(), *told)).verdict == "ok"
    assert await values(fleet) == {"n": 1}


async def test_late_facts_and_other_workspaces_write_nothing(log, fleet):
    other = await new_fleet(log)
    run = await fleet.granted_run()
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_CRASHED)
    await report(fleet, run, 1, started(), end)
    assert (await report(fleet, run, 3, written("n", 1))).verdict == "fenced"
    run = await fleet.granted_run()
    await report(fleet, run, 1, started(), written("m", 1))
    assert await values(fleet) == {"m": 1}
    assert await values(other) == {}
    events = await Reader(fleet.log.database).read_stream(fleet.ws, STREAM)
    assert [event.type for event in events] == ["VariableSet"]
    assert events[0].stream == Stream(StreamKind.VARIABLES, STREAM.id)
