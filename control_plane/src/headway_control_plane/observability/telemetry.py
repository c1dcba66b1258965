"""Traces and metrics of our own processes. Nothing leaves the process unless a collector is named."""

import importlib
from collections.abc import Callable
from types import ModuleType

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_EXPORTERS = "opentelemetry.exporter.otlp.proto.http"


class ExporterMissing(Exception):
    """A collector is named, and the package that speaks to it is not installed."""


def configure_telemetry(
    service: str, version: str, *, otlp_endpoint: str = "", readers: tuple[MetricReader, ...] = ()
) -> Callable[[], None]:
    """Set the process's providers; return the function that flushes and ends them.

    `readers` take metrics in-process, such as a scrape endpoint does. Where nobody listens no provider is set: whoever measures
    (FastAPI does, each request) sees that and leaves it.
    """
    if not (otlp_endpoint or readers):
        return lambda: None
    resource = Resource.create({"service.name": service, "service.version": version})
    tracing = TracerProvider(resource=resource)
    if otlp_endpoint:
        base = otlp_endpoint.rstrip("/")
        spans = _exporter("trace_exporter").OTLPSpanExporter(endpoint=f"{base}/v1/traces")
        points = _exporter("metric_exporter").OTLPMetricExporter(endpoint=f"{base}/v1/metrics")
        tracing.add_span_processor(BatchSpanProcessor(spans))
        readers = (*readers, PeriodicExportingMetricReader(points))
    metering = MeterProvider(metric_readers=readers, resource=resource)
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(metering)

    def end() -> None:
        tracing.shutdown()
        metering.shutdown()

    return end


def _exporter(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{_EXPORTERS}.{name}")
    except ImportError as error:
        raise ExporterMissing(
            "HEADWAY_OTLP_ENDPOINT is set, but the exporter is not installed. "
            "Install it with: pip install 'headway-control-plane[otlp]'"
        ) from error
