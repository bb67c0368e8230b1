"""Our instruments beside the SDK's: the same measurements come to the same metrics."""

from __future__ import annotations

import threading
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from servicekit.instruments import Instrument
from servicekit.tallies import TallyMeter

RESOURCE = Resource.create({"service.name": "test"})
COUNTED = Instrument(name="counted", unit="{thing}", says="How many.", labels=("a", "b"))
TIMED = Instrument(name="timed", unit="s", says="How long.", labels=("a",), bounds=(1.0, 2.0, 5.0))
LABELS = st.sampled_from([{"a": "x", "b": "y"}, {"b": "y", "a": "x"}, {"a": "z"}, {}, None])


def _theirs():
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader], RESOURCE, exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
    )
    return provider.get_meter("vedette"), reader.get_metrics_data


def _ours():
    meter = TallyMeter("vedette", RESOURCE)
    return meter, lambda: meter.collect(None)


def _said(found):
    """The metrics by name, without the moments at which they were taken."""
    if found is None:
        return {}
    [scope] = found.resource_metrics[0].scope_metrics
    metrics = {}
    for metric in scope.metrics:
        said = asdict(metric)
        for point in said["data"]["data_points"]:
            assert point.pop("time_unix_nano") >= (point.pop("start_time_unix_nano") or 0)
            point["attributes"] = dict(point["attributes"])
            # Whole numbers stay whole: the wire tells them apart.
            point["kind"] = type(point.get("value")).__name__
        said["data"]["data_points"].sort(key=lambda point: sorted(point["attributes"].items()))
        metrics[metric.name] = said | {"kind": type(metric.data).__name__}
    return metrics


@settings(deadline=None)
@given(
    added=st.lists(st.tuples(st.integers(0, 100), LABELS), max_size=8),
    recorded=st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 5.0, 9.0]), LABELS), max_size=8
    ),
)
def test_the_same_comes_of_the_same(added, recorded):
    """Counts, sums, extremes and buckets, label by label; what was never measured is left out."""
    said = []
    for meter, collect in (_theirs(), _ours()):
        counter, histogram = COUNTED.counter(meter), TIMED.histogram(meter)
        for amount, labels in added:
            counter.add(amount, labels)
        for amount, labels in recorded:
            histogram.record(amount, labels)
        said.append(_said(collect()))
    assert said[0] == said[1]


@pytest.mark.parametrize("grows", [False, True], ids=["gauge", "sum"])
def test_what_is_looked_up_is_looked_up_each_time(grows):
    """An observed value is that of the moment, in our metrics as in the SDK's."""
    said = []
    for meter, collect in (_theirs(), _ours()):
        values = iter([3, 4])
        TIMED.observed(meter, lambda _: [Observation(next(values), {"a": "x"})], grows=grows)  # noqa: B023  # read at once
        said.append([_said(collect()), _said(collect())])
    assert said[0] == said[1]


def test_a_sum_goes_on_after_it_was_collected():
    """Everything since the beginning is told each time, so that a lost scrape loses nothing."""
    meter, collect = _ours()
    counter = COUNTED.counter(meter)
    for _ in range(3):
        counter.add(2, {"a": "x"})
        found = _said(collect())
    assert found["counted"]["data"]["data_points"][0]["value"] == 6


def test_no_measurement_is_lost_between_threads():
    """Several threads may measure at once."""
    meter, collect = _ours()
    counter, histogram = COUNTED.counter(meter), TIMED.histogram(meter)

    def measure():
        for _ in range(2000):
            counter.add(1, {"a": "x"})
            histogram.record(1.5, {"a": "x"})

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = _said(collect())
    points = [found[name]["data"]["data_points"][0] for name in ("counted", "timed")]
    assert (points[0]["value"], points[1]["count"], points[1]["sum"]) == (8000, 8000, 12000.0)
