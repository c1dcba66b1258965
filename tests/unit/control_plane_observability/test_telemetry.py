import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from headway_control_plane.observability.telemetry import ExporterMissing, configure_telemetry

# Providers are set once a process, so each case has one of its own.
MEASURE = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from headway_control_plane.observability.telemetry import configure_telemetry

reader = InMemoryMetricReader()
end = configure_telemetry("headway-test", "1.2.3", readers=(reader,))
metrics.get_meter("headway").create_counter("headway.events").add(5)
with trace.get_tracer("headway").start_as_current_span("flush") as span:
    assert span.is_recording()
[resource] = reader.get_metrics_data().resource_metrics
[scope] = resource.scope_metrics
print(resource.resource.attributes["service.name"], scope.metrics[0].name, scope.metrics[0].data.data_points[0].value)
end()
"""

UNHEARD = """
from opentelemetry import metrics, trace
from headway_control_plane.observability.telemetry import configure_telemetry

end = configure_telemetry("headway-test", "1.2.3")
metrics.get_meter("headway").create_counter("headway.events").add(5)
with trace.get_tracer("headway").start_as_current_span("flush") as span:
    assert not span.is_recording()
end()
"""


def test_where_nobody_listens_nothing_is_recorded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHEARD], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_meters_and_tracers_work_in_process_and_send_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("headway-test headway.events 5\n", "")


def test_a_collector_without_its_package_is_told_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(ExporterMissing, match="headway-control-plane\\[otlp\\]"):
        configure_telemetry(
            "x", "1", otlp_endpoint="http://127.0.0.1:4318", readers=(InMemoryMetricReader(),)
        )
