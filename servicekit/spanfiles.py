"""Spans as OTLP-JSON, the official format, one document a batch.

The library's exporter says the same in three passes over objects of its own, in a thread that
holds up the event loop meanwhile; this writes the text at once, at about a fifth of the cost
(docs/log.md, "what telemetry costs"). A test holds the two together.
"""

from __future__ import annotations

import functools
import json
import math
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from servicekit import logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Link, SpanContext

__all__ = ["SpanFileExporter"]

# Whether a parent or a linked span is in another process; the bits are those of OTLP's SpanFlags.
_IS_KNOWN: Final = 0x100
_IS_REMOTE: Final = 0x200
# A text as JSON, in quotes.
_text: Final = json.encoder.encode_basestring_ascii


class SpanFileExporter(SpanExporter):
    """Writes the spans of one process, which share their resource and their scope."""

    def __init__(self, stream: IO[str]) -> None:
        """Write to this stream and close it in the end."""
        self._stream = stream
        self._log = logs.get()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append one line; what cannot be written is reported and dropped."""
        try:
            self._stream.write(_document(spans) + "\n")
            self._stream.flush()
        except OSError as error:
            self._log.warning("spans.dropped", count=len(spans), error_type=type(error).__name__)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the stream."""
        self._stream.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  # nothing waits
        """Everything is written at once."""
        return True


def _document(spans: Sequence[ReadableSpan]) -> str:
    first = spans[0]
    scope = first.instrumentation_scope
    name = f'"name":{_text(scope.name)}' if scope is not None else ""
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":{_attributes(first.resource.attributes)}}},'
        f'"scopeSpans":[{{"scope":{{{name}}},"spans":[{",".join(map(_span, spans))}]}}]}}]}}'
    )


def _span(span: ReadableSpan) -> str:
    context, parent = span.context, span.parent
    # Of a library's span each of these is a copy that is made when it is asked for.
    attributes, events, links = span.attributes, span.events, span.links
    assert context is not None
    # The API counts kinds from nought, OTLP from one.
    found = (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",'
        f'"name":{_text(span.name)},"kind":{span.kind.value + 1},'
        f'"startTimeUnixNano":"{span.start_time}","endTimeUnixNano":"{span.end_time}",'
        f'"flags":{_flags(parent)},"status":{_status(span.status.status_code)}'
    )
    if context.trace_state:
        found += f',"traceState":{_text(context.trace_state.to_header())}'
    if parent is not None:
        found += f',"parentSpanId":"{parent.span_id:016x}"'
    if attributes:
        found += f',"attributes":{_attributes(attributes)}'
    if events:
        found += f',"events":[{",".join(map(_event, events))}]'
    if links:
        found += f',"links":[{",".join(map(_link, links))}]'
    return found + "}"


def _status(code: StatusCode) -> str:
    if code is StatusCode.UNSET:
        return "{}"
    return '{"code":1}' if code is StatusCode.OK else '{"code":2}'


def _flags(other: SpanContext | None) -> int:
    return _IS_KNOWN | (_IS_REMOTE if other is not None and other.is_remote else 0)


def _event(event: Event) -> str:
    attributes = f',"attributes":{_attributes(event.attributes)}' if event.attributes else ""
    return f'{{"name":{_text(event.name)},"timeUnixNano":"{event.timestamp}"{attributes}}}'


def _link(link: Link) -> str:
    context = link.context
    attributes = f',"attributes":{_attributes(link.attributes)}' if link.attributes else ""
    return (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",'
        f'"flags":{_flags(context)}{attributes}}}'
    )


def _attributes(attributes: Mapping[str, Any]) -> str:
    pairs = [
        _worded(key, value) if type(value) is str else _pair(key, value)
        for key, value in attributes.items()
    ]
    return f"[{','.join(pairs)}]"


# Most attributes are words that come again and again: methods, outcomes, detectors.
@functools.lru_cache(maxsize=1024)
def _worded(key: str, value: str) -> str:
    return _pair(key, value)


def _pair(key: str, value: Any) -> str:
    return f'{{"key":{_text(key)},"value":{_value(value)}}}'


def _value(value: Any) -> str:
    # Text is by far the most frequent, and a truth value is a number too.
    if isinstance(value, str):
        return f'{{"stringValue":{_text(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{_number(value)}}}'
    items = f'"values":[{",".join(map(_value, value))}]' if value else ""
    return f'{{"arrayValue":{{{items}}}}}'


def _number(value: float) -> str:
    """As JSON, which has no infinity: there the three are words, by the rules of protobuf."""
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
