"""Reads spans out of OTLP-JSON, as any OpenTelemetry program writes it.

Numbers may come as numbers or as strings, enums as numbers or as names. What makes no sense is
left out: a damaged file shows the spans that can be read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vedette.traces.spans import Event, Kind, Span, Status, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["spans_of_document", "spans_of_line"]


def spans_of_line(line: str) -> list[Span]:
    """The spans of one line of a file; none if it is not a whole document."""
    try:
        document = json.loads(line)
    except ValueError:
        return []
    return list(spans_of_document(document))


def spans_of_document(document: Any) -> Iterator[Span]:
    """The spans of one ExportTraceServiceRequest or TracesData."""
    for resource_spans in _items(document, "resourceSpans"):
        service = _service(_mapping(resource_spans.get("resource")))
        for scope_spans in _items(resource_spans, "scopeSpans"):
            for raw in _items(scope_spans, "spans"):
                try:
                    yield _span(raw, service)
                except (KeyError, TypeError, ValueError):
                    continue


def _service(resource: dict[str, Any]) -> str:
    try:
        return str(_attributes(resource).get("service.name") or "unknown")
    except (KeyError, TypeError, ValueError):
        return "unknown"


def _span(raw: dict[str, Any], service: str) -> Span:
    return Span(
        trace_id=str(raw["traceId"]).lower(),
        span_id=str(raw["spanId"]).lower(),
        parent_id=str(raw.get("parentSpanId") or "").lower() or None,
        name=str(raw.get("name", "")),
        service=service,
        kind=_enum(Kind, raw.get("kind", 0), prefix="SPAN_KIND_"),
        start_ns=int(raw["startTimeUnixNano"]),
        end_ns=int(raw["endTimeUnixNano"]),
        status=_enum(Status, _mapping(raw.get("status")).get("code", 0), prefix="STATUS_CODE_"),
        attributes=_attributes(raw),
        events=tuple(_event(event) for event in _items(raw, "events")),
        shared_with=tuple(str(link["traceId"]).lower() for link in _items(raw, "links")),
    )


def _event(raw: dict[str, Any]) -> Event:
    return Event(
        name=str(raw.get("name", "")),
        time_ns=int(raw["timeUnixNano"]),
        attributes=_attributes(raw),
    )


def _enum(members: Any, value: int | str, *, prefix: str) -> Any:
    if isinstance(value, str) and not value.isdigit():
        return members[value.removeprefix(prefix)]
    return members(int(value))


def _attributes(holder: dict[str, Any]) -> dict[str, Value]:
    return {str(pair["key"]): _value(pair.get("value")) for pair in _items(holder, "attributes")}


def _value(raw: Any) -> Value:
    match raw:
        case {"intValue": number}:
            return int(number)
        case {"doubleValue": number}:
            return float(number)
        case {"stringValue": value} | {"boolValue": value} | {"bytesValue": value}:
            return value  # type: ignore[no-any-return]
        case {"arrayValue": {"values": list(values)}}:
            return [_value(value) for value in values]
        case {"kvlistValue": {"values": list(pairs)}}:
            return {str(pair["key"]): _value(pair.get("value")) for pair in pairs}
    return None


def _items(holder: Any, key: str) -> Iterator[dict[str, Any]]:
    items = _mapping(holder).get(key)
    return (
        (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
