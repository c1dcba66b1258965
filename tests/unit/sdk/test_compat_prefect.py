"""headway.compat.prefect: Prefect's simple code as it is, and a word for what is not there."""

import importlib
from datetime import timedelta

import pytest

import headway
from headway import InvalidOption
from headway.compat import names, prefect
from headway.compat.prefect import (
    DEFAULT,
    INPUTS,
    NO_CACHE,
    NotInHeadway,
    ProcessPoolTaskRunner,
    State,
    ThreadPoolTaskRunner,
    allow_failure,
    exponential_backoff,
    flow,
    get_run_logger,
    pause_flow_run,
    runtime,
    task,
    task_input_hash,
    transaction,
    unmapped,
)
from headway.options import FLOW_DEFAULTS, TASK_DEFAULTS
from headway.testing import Harness, harness


@pytest.fixture
def h():
    with harness() as made:
        yield made


def test_a_prefect_flow_runs(h: Harness):
    tried = []

    @task(retries=2, retry_delay_seconds=exponential_backoff(10), retry_jitter_factor=None)
    def load(table: str, size: int) -> int:
        tried.append(table)
        if len(tried) < 3:
            raise ConnectionError(table)
        return size

    @task(name="sum up", tags=["x"], persist_result=True, cache_policy=NO_CACHE)
    def total(sizes: list[int]) -> int:
        get_run_logger().info("%d sizes", len(sizes))
        return sum(sizes)

    @flow(name="etl", log_prints=True, timeout_seconds=600, validate_parameters=True,
          task_runner=ThreadPoolTaskRunner(max_workers=2), retries=None)  # fmt: skip
    def etl(tables: list[str]) -> int:
        print(runtime.flow_run.name, runtime.task_run.id, runtime.deployment.name == "")
        return total(load.map(tables, unmapped(21)))

    run = h.run(etl, tables=["a", "b"])
    assert run.result() == 42
    assert run.call("load", at=0).delays == [10, 20]
    assert [line.text for line in run.logs] == ["etl root True", "2 sizes"]
    assert etl.fn.__name__ == "etl"
    assert etl.with_options(timeout_seconds=5).timeout == 5
    assert load.with_options(retries=0).retries.limit == 0


def test_conditions_see_the_state(h: Harness):
    seen = []

    def wanted(a_task, run, state: State) -> bool:
        seen.append((a_task.name, run.run_count, state.type, state.is_failed()))
        try:
            state.result()
        except ConnectionError:
            return True
        except ValueError:
            return False
        raise AssertionError

    @task(retries=5, retry_condition_fn=wanted)
    def load():
        raise ConnectionError if len(seen) < 2 else ValueError

    @flow
    def main():
        load()

    assert isinstance(h.run(main).error, ValueError)
    assert seen == [("load", n, "FAILED", True) for n in (1, 2, 3)]


def test_hooks_see_the_flow_its_run_and_the_state(h: Harness):
    seen = []

    def hook(thing, run, state):
        seen.append((thing.name, run.name, state.name, state.result(raise_on_failure=False)))

    async def async_hook(thing, run, state):
        seen.append((thing.name, state.is_final(), state.is_completed()))

    @task(on_completion=[hook], on_running=hook)
    def one():
        return 1

    @flow(on_completion=[async_hook])
    async def main():
        return one()

    h.run(main).result()
    assert seen == [
        ("one", "one", "Running", None), ("one", "one", "Completed", 1), ("main", True, True),
    ]  # fmt: skip
    with pytest.raises(InvalidOption, match="async"):
        flow(on_completion=async_hook)(lambda: None)


def test_caching_goes_by_ours(h: Harness):
    assert task(cache_key_fn=task_input_hash)(len).cache is INPUTS
    expiring = task(cache_expiration=timedelta(hours=1))(len)
    assert (expiring.cache, expiring.cache_expires) == (DEFAULT, 3600)
    assert task(cache_policy=INPUTS, refresh_cache=True)(len).refresh_cache is True
    keyed = task(cache_key_fn=lambda context, parameters: f"k{parameters['n']}")(len)
    told = []

    @flow
    def main():
        [function] = keyed.cache.functions
        told.append(function({"n": 7}))
        [run_id] = prefect.RUN_ID.functions
        told.append(run_id({}) == headway.run_context().run)

    h.run(main).result()
    assert told == ["k7", True]


def test_transactions_as_prefect_has_them(h: Harness):
    told: list[object] = []

    @task(on_commit=[lambda txn: told.append(("commit", txn.name, txn.get("day")))])
    def write(n: int) -> int:
        return n

    @write.on_rollback
    def undo(txn: prefect.Transaction) -> None:
        assert txn.step is not None
        told.append(("undo", txn.step.value, txn.get("day"), txn.get("none", "-")))
        with pytest.raises(ValueError, match="'none'"):
            txn.get("none")
        txn.set("day", "its own")
        told.append(txn.get("day"))

    @flow
    def main(good: bool) -> None:
        with transaction(logger=None, overwrite=False) as txn:
            txn.set("day", "monday")
            write(1)
            if not good:
                raise ValueError

    h.run(main, good=True).result()
    assert told == [("commit", "write", "monday")]
    told.clear()
    assert h.run(main, good=False).state == "failed"
    assert told == [("undo", 1, "monday", "-"), "its own"]
    with transaction() as outside:
        assert write(2) == 2
        with pytest.raises(ValueError, match="nobody has set"):
            outside.get("day")
    # The hooks stay with a task whose options change, and the other task keeps its own.
    assert len(write.with_options(retries=1).transaction_hooks) == 2


def test_async_transactions(h: Harness):
    told: list[str] = []

    @task(on_commit=lambda txn: told.append(txn.name))
    async def write() -> None: ...

    @flow
    async def main() -> None:
        async with prefect.atransaction():
            await write()

    h.run(main).result()
    assert told == ["write"]


def test_a_pause_asks(h: Harness):
    @flow
    def main():
        pause_flow_run()
        return pause_flow_run(wait_for_input=int)

    run = h.run(main)
    assert run.answer("go on").answer("input", 3).result() == 3


def test_outside_a_run_it_is_the_function():
    @flow
    def main(n: int = 1):
        return n

    assert main(2) == 2
    assert runtime.flow_run.id is None
    assert ProcessPoolTaskRunner(max_workers=2).max_workers == 2
    assert task(result_serializer="pickle")(len).result == "pickle"


async def later(txn: prefect.Transaction) -> None: ...


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda: task(result_storage="s3"), "journal"),
        (lambda: prefect.transaction(key="k"), "cache_policy"),
        (lambda: prefect.transaction(overwrite=True), "refresh_cache"),
        (lambda: prefect.transaction(keys="k"), "no option 'keys'"),
        (lambda: task(on_rollback=[later]), "plain functions"),
        (lambda: prefect.get_transaction, "with transaction"),
        (lambda: task(retrys=3), "no option 'retrys'; it has: .*retries"),
        (lambda: task(result_serializer="compressed/json"), "register_codec"),
        (lambda: flow(validate_parameters=False), "always checked"),
        (lambda: flow(len).serve(), "headway deploy"),
        (lambda: flow(len).from_source("x"), "--root"),
        (lambda: task(len).delay(1), "submit it in a flow"),
        (lambda: prefect.tags, "--tag"),
        (lambda: runtime.flow_run.parent_task_run_id, "it has id"),
    ],
)
def test_what_is_missing_says_what_to_use(use, advice: str):
    with pytest.raises(NotInHeadway, match=advice):
        use()


def test_missing_names_and_attributes_are_errors_of_their_kind():
    with pytest.raises(ImportError, match="REST API"):
        from headway.compat.prefect import get_client  # noqa: F401
    with pytest.raises(ImportError):
        from headway.compat.prefect import nothing_like_it  # noqa: F401
    assert not hasattr(flow(len), "serve")
    assert not hasattr(task(len), "nothing")


def exists(ours: str) -> bool:
    """Whether the table's word for ours stands for something that is there."""
    if ours.startswith("@"):
        decorator, _, option = ours[1:].rstrip(")").partition("(")
        return option in {"flow": FLOW_DEFAULTS, "task": TASK_DEFAULTS}[decorator]
    if ours.startswith("headway "):
        _, verb, *option = ours.split()
        command = importlib.import_module(f"headway.cli.verbs.{verb}").__dict__[verb]
        options = {each for parameter in command.params for each in parameter.opts}
        return set(option) <= options
    found = headway
    for part in ours.split(".")[1:]:
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("group", names.TABLE)
def test_whatever_the_table_calls_ours_is_there(group: names.Group):
    for name, mapped in names.TABLE[group].items():
        if mapped.status == "missing":
            assert mapped.note and not mapped.ours, name
        else:
            assert exists(mapped.ours), (name, mapped.ours)
        if mapped.status == "differs":
            assert mapped.note, name


def test_the_shim_has_what_the_table_says_and_no_more():
    there = {name for name, mapped in names.IMPORTS.items() if mapped.status != "missing"}
    assert there == set(prefect.__all__) - {"NotInHeadway"}
    for name in there:
        assert name in vars(prefect)


def test_all_options_that_map_are_taken():
    for table, decorator in ((names.FLOW_OPTIONS, flow), (names.TASK_OPTIONS, task)):
        for name, mapped in table.items():
            if mapped.status != "missing":
                decorator(**{name: None})
            else:
                with pytest.raises(NotInHeadway):
                    decorator(**{name: 1})
    assert allow_failure is headway.allow_failure


def test_secrets_and_variables_are_read_as_in_prefect():
    @flow
    def main():
        loaded = prefect.Secret.load("db-password")
        return [loaded.get(), str(loaded), prefect.Variable.get("size"), prefect.Variable.get("x")]

    with harness(secrets={"db-password": "correct horse"}, variables={"size": 5}) as h:
        assert h.run(main).result() == ["correct horse", "****", 5, None]
