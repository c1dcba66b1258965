"""Words that must stay where they are, while things die and come back: a customer's on its side, another workspace's in it."""

import random
import shutil
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from types import SimpleNamespace

import pytest

from support.boundary import STAYS, TOLD, Words, database_contents
from support.hand_agent import hand_agent, make_pool
from support.load import OUTAGE, load
from support.pair import Behind
from support.proxy import Proxy
from support.stack import FLOWS, HEADWAY
from support.strikes import executing, kill, strike
from support.tenants import tenant
from support.trial import INVARIANTS

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

# Beside the flows that hold a word wherever a word can be: one that also leaves marks.
MARKED = """
from effects import mark

@task
def marked_step(path, value, n):
    mark(path, f"step-{{n}}")
    print("printed {line}", flush=True)
    return work(value)

@flow(name="{flow}-marked")
def marked(path, value):
    mark(path, "flow")
    for n in range(6):
        marked_step(path, value, n)
    retried(value)
    return inner(value)
"""
EXPECTED = {"flow"} | {f"step-{n}" for n in range(6)}


def prepared(headway, directory, pool):
    """Flows full of words, deployed to a pool; their root and the words."""
    words = Words()
    root, variables = words.write_flows(directory), words.write_variables(directory)
    shutil.copy(FLOWS / "effects.py", root)
    with (root / f"{words['module']}.py").open("a") as module:
        module.write(MARKED.format(**words.of))
    options = ("--pool", pool, "--environment", pool, "--env-file", variables, "--root", root)
    done = subprocess.run(
        [HEADWAY, "deploy", f"{words['module']}:marked", "--name", words["deployment"], *options],
        env=headway.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return words, root


def steady(words):
    """How its flow is put under load."""
    return {
        "deployment": words["deployment"],
        "expected": EXPECTED,
        "value": words["parameter"],
    }


@pytest.fixture(scope="module")
def closed(headway, tmp_path_factory):
    """A pool as anybody creates one, without a word about permits; its agent behind a relay that keeps every byte."""
    directory = tmp_path_factory.mktemp("closed")
    headway.api("POST", "/pools", {"name": "closed"})
    words, root = prepared(headway, directory, "closed")
    with Proxy(headway.grpc_port) as proxy:
        proxy.captured = []
        with hand_agent(
            headway, "closed", directory / "agent", port=proxy.port, root=root
        ) as agent:
            yield SimpleNamespace(rig=Behind(headway, proxy, agent), words=words)


@pytest.mark.row(2)
@pytest.mark.trials(1, 2)
def test_what_dies_lets_no_word_out(headway, closed, trial, thorough, seed):
    rng = random.Random(f"boundary-{seed}")
    words, rig = closed.words, closed.rig
    with load(rig, per_second=1.0, **steady(words)) as work:
        for _ in range(2 if thorough else 1):
            for target in ("flow", "agent", "connection", "server"):
                work.until_more_marks(rng.randrange(1, 8))
                strike_at(rig, work, trial, target)
            work.until_more_marks()
    work.drain()
    work.judge(trial)
    sent = b"".join(rig.proxy.captured)
    trial.holds(INVARIANTS[14], [f"{kind} was sent" for kind in words.found_in(sent, STAYS)])
    stored = database_contents(headway.database_url)
    trial.holds(INVARIANTS[14], [f"{kind} is stored" for kind in words.found_in(stored, STAYS)])
    # It did report: the search looked at the right bytes.
    assert b"AttemptExited" in sent


def strike_at(rig, work, trial, target):
    if target == "connection":
        rig.proxy.reset()
        trial.happened("connections reset")
    elif target == "agent":
        rig.agent.process.kill()
        rig.agent.process.wait(30)
        rig.agent.start()
        trial.happened("kill -9 agent")
    else:
        victim = rig.headway.part(target) if target == "server" else executing(rig, work, target)
        if kill([victim]):
            trial.happened(f"kill -9 {target}")


@pytest.fixture(scope="module")
def neighbour(headway, tmp_path_factory):
    """Another workspace of the same Headway, whose pool permits everything and whose flows are full of words of its own."""
    directory = tmp_path_factory.mktemp("neighbour")
    with tenant(headway, directory / "home", lane=0) as other:
        make_pool(other, "words")
        words, root = prepared(other, directory, "words")
        with hand_agent(other, "words", directory / "agent", root=root) as agent:
            yield SimpleNamespace(rig=Behind(other, None, agent), words=words)


@pytest.mark.row(1)
@pytest.mark.trials(1, 2)
def test_what_dies_serves_no_word_of_another_workspace(headway, neighbour, trial, thorough, seed):
    rng = random.Random(f"isolation-{seed}")
    served = bytearray()
    with (
        load(neighbour.rig, per_second=1.0, **steady(neighbour.words)) as theirs,
        load(headway, per_second=1.0, seconds=0.03) as work,
    ):
        theirs.until_more_marks(3)
        for target in ("server", "PostgreSQL", "server") if thorough else ("server",):
            work.until_more_marks(rng.randrange(1, 20))
            strike(headway, work, trial, target, rng)
            served += everything(headway, theirs.runs)
            work.until_more_marks()
    theirs.drain()
    work.drain()
    served += everything(headway, theirs.runs)
    served += b"".join(each.heard for each in work.subscribers)
    work.judge(trial)
    theirs.judge(trial)
    # The search looks at the right bytes, and finds words where they belong.
    assert work.runs[0].encode() in served
    assert neighbour.words.found_in(bytes(theirs.subscribers[0].heard), STAYS)
    found = neighbour.words.found_in(bytes(served), (*STAYS, *TOLD))
    found |= {run for run in theirs.runs if run.encode() in served}
    trial.holds(INVARIANTS[13], [f"{word} was served" for word in found])


def everything(headway, strangers):
    """What is served of lists and pages, and in answer to ids that only the other workspace knows; an outage serves less."""
    lists = ("runs", "deployments", "pools", "agents", "events?limit=1000", "events?newest=true")
    pages = ("runs", "deployments", "pools", "agents", "events")
    asked = [f"/api/v1/{name}" for name in lists] + [f"/{name}" for name in pages]
    heard = b"".join(get(headway, path) for path in asked)
    for run in strangers:
        for path in ("api/v1/runs/{}", "api/v1/runs/{}/events", "runs/{}"):
            # The question itself holds the id; it may be said back.
            heard += get(headway, f"/{path.format(run)}").replace(run.encode(), b"")
    return heard


def get(headway, path):
    head = {
        "Authorization": f"Bearer {headway.api.token}",
        "Cookie": f"headway_session={headway.api.token}",
    }
    request = urllib.request.Request(f"{headway.api.url}{path}", headers=head)
    with suppress(*OUTAGE):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.read()
    return b""
