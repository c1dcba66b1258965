"""Headway beside other majors of the packages that its other parts run on."""

import click
import grpc
import httpx
import numpy as np
import pydantic
import rich
import yaml
from google.protobuf import struct_pb2

from headway import ProcessRunner, flow, task


class Reading(pydantic.BaseModel):
    sensor: str
    values: list[float]


@task
def mean(reading: Reading) -> float:
    return float(np.mean(reading.values))


@task
def as_message(number: float) -> str:
    message = struct_pb2.Struct()
    message.update({"mean": number})
    return yaml.safe_dump({"mean": message["mean"]})


@task
def foreign() -> list[str]:
    with grpc.insecure_channel("localhost:1") as channel, httpx.Client() as client:
        return [type(channel).__name__, type(client).__name__, click.__name__, rich.__name__]


@flow(task_runner=ProcessRunner(2))
def beside(reading: Reading) -> str:
    means = mean.map([reading] * 4).result()
    assert len(foreign()) == 4
    return as_message(sum(means) / 4)
