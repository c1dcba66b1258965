"""A deployment says whether its runs share processes; its runs, and what an agent gets of them, keep that."""

import pytest

pytestmark = pytest.mark.postgres

REUSE = {"isolation": "reuse", "max_runs_per_process": 7, "max_memory_mb": 300}


def said(deployment: dict) -> dict:
    return {name: deployment[name] for name in REUSE}


async def test_a_deployment_shows_its_isolation_and_limits(api):
    alone = {"isolation": "process", "max_runs_per_process": None, "max_memory_mb": None}
    assert said(await api.one.deploy()) == alone
    changed = await api.one.deploy(isolation="reuse")
    assert said(changed) == {**REUSE, "max_runs_per_process": 1_000, "max_memory_mb": 1_024}
    assert said(await api.one.deploy(**REUSE)) == REUSE
    again = await api.one.deploy(**REUSE)
    assert (again["changed"], said(again)) == (False, REUSE)
    shown = (await api.one.client.get("/deployments/nightly")).json()
    assert said(shown) == REUSE
    back = await api.one.deploy(isolation="process")
    assert (back["changed"], said(back)) == (True, alone)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"isolation": "shared"}, "isolation"),
        ({"max_runs_per_process": 5}, "max_runs_per_process"),
        ({"isolation": "reuse", "max_runs_per_process": 0}, "max_runs_per_process"),
        ({"isolation": "reuse", "max_memory_mb": 1 << 40}, "max_memory_mb"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_field(api, body, field):
    whole = {"name": "bad", "flow": "f", "pool": "local", "entrypoint": "m:f"} | body
    answer = await api.one.client.post("/deployments", json=whole)
    assert answer.status_code in {400, 422}, answer.text
    assert field in answer.text
