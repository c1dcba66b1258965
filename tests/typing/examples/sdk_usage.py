"""Users' code as a type checker sees it; `says:` quotes what the checker says about the line."""

from typing import reveal_type

from headway import Future, as_completed, flow, run_context, task, unmapped, wait


@task
def double(n: int, plus: int = 0) -> int:
    return 2 * n + plus


@task(retries=3, retry_delay=[1, 2], retry_backoff=2.0, key=lambda bound: str(bound["name"]))
def greet(name: str) -> str:
    return f"hello {name}"


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@flow(retries=2, on_lost="hold")
def main(day: str) -> list[int]:
    reveal_type(double(1))  # says: "int"
    reveal_type(greet.with_options(retries=0)(day))  # says: "str"
    reveal_type(double.submit(1).result())  # says: "int"
    reveal_type(double.map([1, 2], unmapped(3)))  # says: "list[headway.futures.Future[int]]"
    reveal_type(fetch.submit("u").result())  # says: "bytes"
    reveal_type(fetch.map(["u"])[0].result())  # says: "bytes"
    reveal_type(run_context().attempt)  # says: "int"
    future: Future[int] = double.submit(double.submit(1))
    reveal_type(wait([future]).done)  # says: "list[headway.futures.Future[int]]"
    for ended in as_completed([future]):
        reveal_type(ended.result())  # says: "int"
    double("x")  # says: incompatible type "str"; expected "int"
    double(1, minus=2)  # says: Unexpected keyword argument "minus"
    task(retries="many")  # says: No overload variant of "task" matches
    return [future.result()]


@flow
async def asynchronous(day: str) -> str:
    reveal_type(await fetch("u"))  # says: "bytes"
    reveal_type(await fetch.submit("u"))  # says: "bytes"
    reveal_type(await double.submit(1))  # says: "int"
    fetch("u")  # says: must be used
    return day


reveal_type(main("2026-09-21"))  # says: "list[int]"
main(5)  # says: incompatible type "int"; expected "str"
