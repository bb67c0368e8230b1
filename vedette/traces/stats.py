"""How long each kind of span takes, over many traces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vedette.traces import analysis
from vedette.traces.spans import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vedette.traces.trace import Trace

__all__ = ["Summary", "by_span_name", "percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One kind of span: how often, how long, how much of that its own, how often in error."""

    service: str
    name: str
    count: int
    errors: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    max_ns: int
    self_p50_ns: int


def by_span_name(traces: Iterable[Trace]) -> list[Summary]:
    """One summary for each service and span name, the largest 95th percentile first."""
    times: dict[tuple[str, str], list[int]] = {}
    own: dict[tuple[str, str], list[int]] = {}
    errors: dict[tuple[str, str], int] = {}
    for trace in traces:
        for span in trace.spans:
            key = (span.service, span.short_name)
            times.setdefault(key, []).append(span.duration_ns)
            own.setdefault(key, []).append(analysis.self_time_ns(trace, span))
            errors[key] = errors.get(key, 0) + (span.status is Status.ERROR)
    found = [_summary(*key, times[key], own[key], errors[key]) for key in times]
    return sorted(found, key=lambda summary: summary.p95_ns, reverse=True)


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The nearest-rank percentile of values in ascending order: always one of them."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _summary(service: str, name: str, times: list[int], own: list[int], errors: int) -> Summary:
    ordered = sorted(times)
    return Summary(
        service=service,
        name=name,
        count=len(ordered),
        errors=errors,
        p50_ns=percentile(ordered, 50),
        p95_ns=percentile(ordered, 95),
        p99_ns=percentile(ordered, 99),
        max_ns=ordered[-1],
        self_p50_ns=percentile(sorted(own), 50),
    )
