"""Reads spans out of what Jaeger's query API answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vedette.traces.spans import Event, Kind, Span, Status, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["spans_of_response"]

_US = 1000
# Jaeger keeps what OpenTelemetry calls kind and status among the tags.
_KIND, _STATUS, _ERROR = "span.kind", "otel.status_code", "error"


def spans_of_response(response: Any) -> Iterator[Span]:
    """The spans of all traces in one response; what makes no sense is left out."""
    for trace in response.get("data") or ():
        processes = trace.get("processes") or {}
        for raw in trace.get("spans") or ():
            try:
                yield _span(raw, processes)
            except (AttributeError, KeyError, TypeError, ValueError):
                continue


def _span(raw: dict[str, Any], processes: dict[str, Any]) -> Span:
    tags = _tags(raw.get("tags"))
    start_ns = int(raw["startTime"]) * _US
    failed = tags.pop(_STATUS, None) == "ERROR" or tags.pop(_ERROR, False) in (True, "true")
    kind = str(tags.pop(_KIND, "unspecified")).upper()
    return Span(
        trace_id=str(raw["traceID"]).rjust(32, "0"),
        span_id=str(raw["spanID"]).rjust(16, "0"),
        parent_id=_parent(raw),
        name=str(raw["operationName"]),
        service=str(processes.get(str(raw.get("processID")), {}).get("serviceName", "unknown")),
        kind=Kind.__members__.get(kind, Kind.UNSPECIFIED),
        start_ns=start_ns,
        end_ns=start_ns + int(raw["duration"]) * _US,
        status=Status.ERROR if failed else Status.UNSET,
        attributes=tags,
        events=tuple(_event(log) for log in raw.get("logs") or ()),
    )


def _parent(raw: dict[str, Any]) -> str | None:
    for reference in raw.get("references") or ():
        if reference.get("refType") == "CHILD_OF":
            return str(reference["spanID"]).rjust(16, "0")
    return None


def _event(log: dict[str, Any]) -> Event:
    fields = _tags(log.get("fields"))
    return Event(
        name=str(fields.pop("event", "")), time_ns=int(log["timestamp"]) * _US, attributes=fields
    )


def _tags(tags: Any) -> dict[str, Value]:
    return {str(tag["key"]): _value(tag.get("value")) for tag in tags or ()}


def _value(value: Any) -> Value:
    """A tag's value; Jaeger writes a list as JSON in a string."""
    if isinstance(value, str) and value.startswith("["):
        try:
            found: Value = json.loads(value)
        except ValueError:
            return value
        return found
    return value  # type: ignore[no-any-return]
