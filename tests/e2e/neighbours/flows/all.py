"""Headway beside the data packages that are used most: each is imported, and most do some work in a task."""

import io
import tempfile
from pathlib import Path

import boto3
import click
import dask
import duckdb
import fastapi
import grpc
import httpx
import jinja2
import joblib
import matplotlib as mpl
import networkx as nx
import numpy as np
import openpyxl
import orjson
import pandas as pd
import polars as pl
import psycopg
import psycopg.sql
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pydantic
import requests
import rich
import scipy.stats
import sklearn.linear_model
import sqlalchemy
import xarray as xr
import yaml
from cryptography.fernet import Fernet
from google.protobuf import struct_pb2

from headway import ProcessRunner, flow, task

mpl.use("Agg")


class Reading(pydantic.BaseModel):
    rows: int = 100


@task
def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"n": np.arange(rows), "square": np.arange(rows) ** 2})


@task
def through_parquet(frame: pd.DataFrame) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        pq.write_table(pa.Table.from_pandas(frame), path)
        by_duckdb = duckdb.execute(f"SELECT sum(square) FROM '{path}'").fetchone()
        assert by_duckdb is not None
        assert int(by_duckdb[0]) == pl.read_parquet(path)["square"].sum()
        return int(by_duckdb[0])


@task
def slope(frame: pd.DataFrame) -> float:
    model = sklearn.linear_model.LinearRegression().fit(frame[["n"]], frame["n"] * 3)
    assert scipy.stats.linregress(frame["n"], frame["n"] * 3).slope == 3.0
    return round(float(model.coef_[0]), 6)


@task
def picture(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.plot(x="n", y="square").figure.savefig(out, format="png")
    return out.getvalue()[:4]


@task
def in_a_worker(n: int) -> int:
    """What has threads of its own must live in a process that was forked."""
    total = pl.DataFrame({"a": list(range(n))}).lazy().select(pl.col("a").sum()).collect().item()
    with duckdb.connect() as database:
        rows = database.execute(f"SELECT sum(range) FROM range({n})").fetchall()
    assert rows == [(pc.sum(pa.array(range(n))).as_py(),)] == [(total,)]
    assert total == int(np.linalg.norm(np.array([total]))) == dask.delayed(sum)(range(n)).compute()
    return int(total)


@task
def sheets_and_words() -> str:
    book = openpyxl.Workbook()
    book.active["A1"] = 1
    text = jinja2.Template("{{ n }}").render(n=nx.shortest_path_length(nx.path_graph(4), 0, 3))
    box = Fernet(Fernet.generate_key())
    message = struct_pb2.Struct()
    message.update(orjson.loads(box.decrypt(box.encrypt(b'{"n": 1}'))))
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == message["n"]
    engine.dispose()
    client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")  # fmt: skip
    url = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert requests.Request("GET", url).prepare().url == url
    assert fastapi.FastAPI().openapi()["paths"] == yaml.safe_load("{}")
    assert psycopg.sql.SQL("SELECT {}").format(psycopg.sql.Literal(1)).as_string(None) == "SELECT 1"
    with grpc.insecure_channel("localhost:1"), httpx.Client():
        joblib.hash(xr.DataArray([1.0]).values)
    return f"{text} {click.__name__} {rich.__name__}"


@flow(task_runner=ProcessRunner(2))
def beside(reading: Reading) -> list[object]:
    frame = table(reading.rows)
    totals = in_a_worker.map([10, 100, 1000, 10_000]).result()
    charts = [picture.submit(frame).result(), picture(frame)]
    return [through_parquet(frame), slope(frame), totals, charts == [b"\x89PNG"] * 2, sheets_and_words()]  # fmt: skip
