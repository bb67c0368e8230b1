"""Metrics that cost little: counts and distributions, kept until somebody collects them.

The SDK's instruments make an object of each measurement, ask whether it is an exemplar, and hand
it through a storage and a view to an aggregation, 7 to 9 µs in all; an answer takes about thirty
(docs/adr/0004). These add to a cell. Everything behind that, readers and exporters, is the SDK's.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, NoOpMeter
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.metrics.export import AggregationTemporality, HistogramDataPoint
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.util.types import Attributes

__all__ = ["TallyMeter"]

_Labels: TypeAlias = tuple[tuple[str, Any], ...]
_Key: TypeAlias = frozenset[tuple[str, Any]]
_TOTAL: Final = AggregationTemporality.CUMULATIVE


class TallyMeter(NoOpMeter):
    """Makes the kinds of instruments that `servicekit.instruments` has, and no other kind."""

    def __init__(self, name: str, resource: Resource) -> None:
        """Collect nothing yet."""
        super().__init__(name)
        self._scope = InstrumentationScope(name)
        self._resource = resource
        self._metrics: list[Callable[[int], Metric | None]] = []

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        """A sum that grows."""
        counter = _Tally(name, unit, description)
        self._metrics.append(counter.collect)
        return counter

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Histogram:
        """A distribution over the buckets that end at these bounds."""
        bounds = explicit_bucket_boundaries_advisory or ()
        histogram = _Distribution(name, unit, description, bounds)
        self._metrics.append(histogram.collect)
        return histogram

    def create_observable_gauge(self, *args: Any, **kwargs: Any) -> Any:
        """A value that is looked up when somebody collects."""
        self._metrics.append(_Observed(*args, **kwargs).gauge)

    def create_observable_counter(self, *args: Any, **kwargs: Any) -> Any:
        """A sum that is looked up when somebody collects."""
        self._metrics.append(_Observed(*args, **kwargs).sum)

    def collect(self, _reader: object, timeout_millis: float = 0) -> MetricsData | None:  # noqa: ARG002  # the reader's call
        """All that was measured since the process began; what was never measured is left out."""
        now_ns = time.time_ns()
        metrics = [metric for collect in self._metrics if (metric := collect(now_ns))]
        if not metrics:
            return None
        scopes = [export.ScopeMetrics(self._scope, metrics, "")]
        return export.MetricsData([export.ResourceMetrics(self._resource, scopes, "")])


class _Tally(Counter):
    """One sum for each combination of labels."""

    def __init__(self, name: str, unit: str, description: str) -> None:
        self._facts = (name, description, unit)
        self._lock = threading.Lock()
        self._sums: dict[_Labels, float] = {}
        self._since_ns: dict[_Key, int] = {}

    def add(
        self,
        amount: float,
        attributes: Attributes | None = None,
        context: Context | None = None,  # noqa: ARG002  # the API's parameter
    ) -> None:
        labels = tuple(attributes.items()) if attributes else ()
        with self._lock:
            if labels not in self._sums:
                self._since_ns.setdefault(frozenset(labels), time.time_ns())
            self._sums[labels] = self._sums.get(labels, 0) + amount

    def collect(self, now_ns: int) -> Metric | None:
        with self._lock:
            sums: dict[_Key, float] = dict.fromkeys(self._since_ns, 0)
            for labels, value in self._sums.items():
                # The same labels in another order are the same labels.
                sums[frozenset(labels)] += value
        if not sums:
            return None
        points = [
            export.NumberDataPoint(dict(labels), self._since_ns[labels], now_ns, value)
            for labels, value in sums.items()
        ]
        return export.Metric(*self._facts, export.Sum(points, _TOTAL, is_monotonic=True))


class _Cell:
    """The distribution under one combination of labels."""

    __slots__ = ("counts", "labels", "largest", "since_ns", "smallest", "total")

    def __init__(self, labels: Mapping[str, Any], buckets: int) -> None:
        self.labels = dict(labels)
        self.since_ns = time.time_ns()
        self.counts = [0] * buckets
        self.total = 0.0
        self.smallest = float("inf")
        self.largest = float("-inf")


class _Distribution(Histogram):
    """One cell for each combination of labels; a bucket has its upper bound in it."""

    def __init__(self, name: str, unit: str, description: str, bounds: Sequence[float]) -> None:
        self._facts = (name, description, unit)
        self._bounds = tuple(bounds)
        self._lock = threading.Lock()
        self._cells: dict[_Labels, _Cell] = {}
        self._unordered: dict[_Key, _Cell] = {}

    def record(
        self,
        amount: float,
        attributes: Attributes | None = None,
        context: Context | None = None,  # noqa: ARG002  # the API's parameter
    ) -> None:
        labels = tuple(attributes.items()) if attributes else ()
        with self._lock:
            cell = self._cells.get(labels) or self._new(labels)
            cell.counts[bisect_left(self._bounds, amount)] += 1
            cell.total += amount
            # Calling min and max would take as long again as all of this.
            if amount < cell.smallest:  # noqa: PLR1730
                cell.smallest = amount
            if amount > cell.largest:  # noqa: PLR1730
                cell.largest = amount

    def collect(self, now_ns: int) -> Metric | None:
        with self._lock:
            points = [self._point(cell, now_ns) for cell in self._unordered.values()]
        if not points:
            return None
        return export.Metric(*self._facts, export.Histogram(points, _TOTAL))

    def _new(self, labels: _Labels) -> _Cell:
        # The same labels in another order are the same labels.
        cell = self._unordered.setdefault(
            frozenset(labels), _Cell(dict(labels), len(self._bounds) + 1)
        )
        self._cells[labels] = cell
        return cell

    def _point(self, cell: _Cell, now_ns: int) -> HistogramDataPoint:
        return HistogramDataPoint(
            attributes=cell.labels,
            start_time_unix_nano=cell.since_ns,
            time_unix_nano=now_ns,
            count=sum(cell.counts),
            sum=cell.total,
            bucket_counts=tuple(cell.counts),
            explicit_bounds=self._bounds,
            min=cell.smallest,
            max=cell.largest,
        )


class _Observed:
    """What is looked up; the lookups run in the thread of whoever collects."""

    def __init__(
        self,
        name: str,
        looks: Iterable[Callable[[CallbackOptions], Iterable[Observation]]],
        unit: str = "",
        description: str = "",
    ) -> None:
        self._facts = (name, description, unit)
        self._looks = tuple(looks)
        self._since_ns = time.time_ns()

    def gauge(self, now_ns: int) -> Metric | None:
        points = self._points(None, now_ns)
        return export.Metric(*self._facts, export.Gauge(points)) if points else None

    def sum(self, now_ns: int) -> Metric | None:
        points = self._points(self._since_ns, now_ns)
        if not points:
            return None
        return export.Metric(*self._facts, export.Sum(points, _TOTAL, is_monotonic=True))

    def _points(self, since_ns: int | None, now_ns: int) -> list[export.NumberDataPoint]:
        return [
            export.NumberDataPoint(dict(seen.attributes or {}), since_ns, now_ns, seen.value)  # type: ignore[arg-type]
            for look in self._looks
            for seen in look(CallbackOptions())
        ]
