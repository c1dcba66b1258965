"""`headway runs metrics`: numbers over time that a run recorded."""

import click

from headway.cli.client import Client, Json
from headway.cli.output import Cell, json_option, print_json, print_table
from headway.cli.text import path_part

_HEADS = ("name", "unit", "newest", "lowest", "highest", "recorded", "kept")


@click.command(short_help="List the metrics of a run, or points of one.")
@click.argument("run_id", metavar="ID")
@click.argument("name", required=False)
@click.option(
    "-n", "--points", type=click.IntRange(2, 2000), default=20, show_default=True,
    help="Most points; more are thinned out to the smallest and largest of equal parts.",
)  # fmt: skip
@json_option
def metrics(run_id: str, name: str | None, points: int, output: str) -> None:
    """List the metrics that a run recorded, or print the points of one NAME."""
    client = Client.of_profile()
    path = f"/runs/{client.find_run(run_id)}/metrics"
    if name is None:
        found = client.get(path)["items"]
        if output == "json":
            print_json(found)
            return
        empty = (
            "The run recorded none. A flow records one with: headway.metrics.record(name, value)"
        )
        print_table(_HEADS, map(_row, found), empty=empty)
        return
    series = client.get(f"{path}/{path_part(name)}", points=points)
    if output == "json":
        print_json(series)
        return
    if series["withheld"]:
        click.echo(
            "Withheld by the pool: its permits do not name `metric`, so the points stayed in your network.",
            err=True,
        )
        return
    rows = [[_moment(series, point), f"{point[0]:g}"] for point in series["points"]]
    print_table(("step" if series["stepped"] else "at_us", "value"), rows, empty="")


def _moment(series: Json, point: list[float]) -> str:
    return str(point[2] if series["stepped"] else point[1])


def _row(series: Json) -> list[Cell]:
    numbers = [series["newest"], series["lowest"], series["highest"]]
    return [
        "(withheld by the pool)" if series["withheld"] else series["name"],
        series["unit"],
        *("" if number is None else f"{number:g}" for number in numbers),
        str(series["recorded"]),
        str(series["kept"]),
    ]
