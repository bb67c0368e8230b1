"""A trace as JSON for other programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vedette.traces import analysis, verdicts
from vedette.traces.cause import cause

if TYPE_CHECKING:
    from vedette.traces.spans import Span
    from vedette.traces.trace import Trace

__all__ = ["as_json", "summary"]


def summary(trace: Trace) -> dict[str, Any]:
    """A trace in a few facts."""
    first_ns = analysis.first_token_ns(trace)
    verdict = verdicts.of_trace(trace)
    return {
        "trace_id": trace.trace_id,
        "start_unix_nano": trace.start_ns,
        "duration_ms": trace.duration_ns / 1e6,
        "first_token_ms": None if first_ns is None else first_ns / 1e6,
        "tokens_per_s": analysis.tokens_per_s(trace),
        "span_count": len(trace.spans),
        "services": list(trace.services),
        "name": trace.root.name,
        "short_name": trace.root.short_name,
        "outcome": trace.outcome,
        "cause": _cause(trace),
        "guards": None if verdict is None else asdict(verdict),
        "degradations": list(trace.degradations),
        "missing_hops": list(trace.missing_hops),
    }


def as_json(trace: Trace) -> dict[str, Any]:
    """The summary, the spans in the order of the tree, and where the time went."""
    return {
        **summary(trace),
        "orphans": [span.span_id for span in trace.orphans],
        "critical_path": [
            {
                "span_id": segment.span.span_id,
                "offset_ms": (segment.start_ns - trace.start_ns) / 1e6,
                "duration_ms": (segment.end_ns - segment.start_ns) / 1e6,
            }
            for segment in analysis.critical_path(trace)
        ],
        "gaps": [
            {
                "span_id": gap.span.span_id,
                "offset_ms": (gap.start_ns - trace.start_ns) / 1e6,
                "duration_ms": gap.duration_ns / 1e6,
                "note": gap.note,
            }
            for gap in analysis.notable_gaps(trace)
        ],
        "spans": [_span(trace, row.span, row.depth) for row in trace.rows()],
    }


def _cause(trace: Trace) -> dict[str, Any] | None:
    found = cause(trace)
    if found is None:
        return None
    return {
        "span_id": found.span.span_id,
        "service": found.span.service,
        "name": found.name,
        "short_name": found.short_name,
        "count": found.count,
        "duration_ms": found.time_ns / 1e6,
        "share": found.share,
        "words": found.words,
    }


def _span(trace: Trace, span: Span, depth: int) -> dict[str, Any]:
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "service": span.service,
        "name": span.name,
        "short_name": span.short_name,
        "kind": span.kind.name,
        "depth": depth,
        "offset_ms": (span.start_ns - trace.start_ns) / 1e6,
        "duration_ms": span.duration_ns / 1e6,
        "self_ms": analysis.self_time_ns(trace, span) / 1e6,
        "status": span.status.name,
        "attributes": dict(span.attributes),
        "shared_with": list(span.shared_with),
        "events": [
            {
                "name": event.name,
                "offset_ms": (event.time_ns - trace.start_ns) / 1e6,
                "attributes": dict(event.attributes),
            }
            for event in span.events
        ],
    }
