"""Spans that cost little, and that cannot record an exception.

The SDK's spans take locks, clean and count what they are given, and keep room for what nobody here
uses: 21 µs each, several times that in a process whose caches hold other things. These keep what
they are told, and when they end they go as they are to the SDK's processors and exporters, which
ask of them what they ask of a `ReadableSpan`. They have no place for an exception, whose text may
quote a prompt.
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)

from servicekit import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, TraceState
    from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["Recorder", "write_span"]

_SCOPE: Final = "vedette"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET: Final = Status(StatusCode.UNSET)


class Recorder(Tracer):
    """Makes spans for the processors of one provider.

    A caller that says whether its trace is recorded is followed; where nobody said, the provider's
    sampler decides.
    """

    def __init__(self, provider: TracerProvider) -> None:
        """Hand what has ended to the processors of this provider, also to those added later."""
        tracer: Any = provider.get_tracer(_SCOPE)
        self._ids = tracer.id_generator
        self._sampler = tracer.sampler
        self._processor = tracer.span_processor
        self.resource: Resource = tracer.resource
        self.scope: InstrumentationScope = tracer._instrumentation_scope  # noqa: SLF001  # has no other name

    def start_span(  # noqa: PLR0913, PLR0917  # the API's parameters
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = False,  # noqa: ARG002, FBT001, FBT002  # never
        set_status_on_exception: bool = False,  # noqa: ARG002, FBT001, FBT002  # by the caller
    ) -> Span:
        """As the API's; an exception is never recorded."""
        parent = trace.get_current_span(context).get_span_context()
        own = self._below(parent) if parent.is_valid else self._root(name)
        if not own.trace_flags.sampled:
            return NonRecordingSpan(own)
        above = parent if parent.is_valid else None
        return _Recording(self, name, own, above, kind, attributes, links, start_time)

    def start_as_current_span(  # type: ignore[override]
        self, name: str, *args: Any, **kwargs: Any
    ) -> _Current:
        """As the API's, for use around awaits and never around a yield.

        A span left by an exception is marked as an error with the exception's type.
        """
        return _Current(self.start_span(name, *args, **kwargs))

    def write(  # a span has these parts
        self,
        name: str,
        *,
        parent: SpanContext,
        times_ns: tuple[int, int],
        attributes: Mapping[str, AttributeValue],
        links: Sequence[Link],
    ) -> None:
        """Record what is over; see `write_span`."""
        flags = parent.trace_flags
        span_id = self._ids.generate_span_id()
        place = _Place(parent.trace_id, span_id, False, flags, parent.trace_state)
        found = _Written(name, place, parent, times_ns, attributes, links)
        found.resource, found.instrumentation_scope = self.resource, self.scope
        self._processor.on_end(cast("ReadableSpan", found))

    def finish(self, span: _Recording) -> None:
        """A span has ended."""
        self._processor.on_end(cast("ReadableSpan", span))

    def _root(self, name: str) -> SpanContext:
        trace_id = self._ids.generate_trace_id()
        decided = self._sampler.should_sample(Context(), trace_id, name)
        flags = _SAMPLED if decided.decision.is_sampled() else TraceFlags.get_default()
        return SpanContext(
            trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=flags
        )

    def _below(self, parent: SpanContext) -> SpanContext:
        return SpanContext(
            parent.trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )


def write_span(  # noqa: PLR0913  # a span has these parts
    tracer: Tracer,
    name: str,
    *,
    parent: Span,
    times_ns: tuple[int, int],
    attributes: Mapping[str, AttributeValue] = MappingProxyType({}),
    links: Sequence[Link] = (),
) -> None:
    """Record something that is over: from when to when, in nanoseconds since the epoch.

    Below `parent`, which may be over as well, and only if its trace is recorded. Most spans of a
    trace are such: detectors, and the phases of a generation.
    """
    above = parent.get_span_context()
    if not above.trace_flags.sampled:
        return
    if isinstance(tracer, Recorder):
        tracer.write(name, parent=above, times_ns=times_ns, attributes=attributes, links=links)
        return
    start_ns, end_ns = times_ns
    context = trace.set_span_in_context(parent)
    tracer.start_span(name, context, attributes=attributes, links=links, start_time=start_ns).end(
        end_ns
    )


class _Current:
    """A span that is the current one inside a `with`, and ends with it."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        otel_context.detach(self._token)
        if kind is not None and isinstance(error, Exception):
            self._span.set_attribute(names.ERROR_TYPE, kind.__name__)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Place(NamedTuple):
    """A `SpanContext` in all but its checks, for spans that nothing is begun below."""

    trace_id: int
    span_id: int
    is_remote: bool
    trace_flags: TraceFlags
    trace_state: TraceState


class _Written:
    """A span that was over when it was written, as exporters read it."""

    __slots__ = (
        *("attributes", "context", "end_time", "instrumentation_scope", "links", "name"),
        *("parent", "resource", "start_time"),
    )
    kind = SpanKind.INTERNAL
    status = _UNSET
    events: tuple[Event, ...] = ()
    dropped_attributes = dropped_events = dropped_links = 0

    def __init__(  # noqa: PLR0913, PLR0917  # a span has these parts
        self,
        name: str,
        context: _Place,
        parent: SpanContext,
        times_ns: tuple[int, int],
        attributes: Mapping[str, AttributeValue],
        links: Sequence[Link],
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.start_time, self.end_time = times_ns
        self.attributes = attributes
        self.links = links
        self.resource: Resource
        self.instrumentation_scope: InstrumentationScope

    def get_span_context(self) -> _Place:
        return self.context


class _Recording(Span):
    """A span, to be told things until it ends and then to be read by exporters.

    What it is told after its end is lost, as the API wants it.
    """

    dropped_attributes = dropped_events = dropped_links = 0
    # Of the class until a span has its own, which most never do.
    links: Sequence[Link] = ()
    events: Sequence[Event] = ()
    status = _UNSET
    end_time: int | None = None

    def __init__(  # noqa: PLR0913, PLR0917  # a span has these parts
        self,
        recorder: Recorder,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] | None,
        start_time: int | None,
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes: dict[str, AttributeValue] = dict(attributes or {})
        self.start_time = start_time or time.time_ns()
        self._recorder = recorder
        if links:
            self.links = links

    def get_span_context(self) -> SpanContext:
        return self.context

    @property
    def resource(self) -> Resource:
        return self._recorder.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        return self._recorder.scope

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if self.end_time is None:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        if self.end_time is None:
            self.attributes.update(attributes)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        if self.end_time is None:
            event = Event(name, attributes or {}, timestamp or time.time_ns())
            self.events = (*self.events, event)

    def update_name(self, name: str) -> None:
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:  # noqa: ARG002  # a description may quote what failed
        code = status.status_code if isinstance(status, Status) else status
        # By the API's rules an OK stands, and nothing takes a status back.
        if code is not StatusCode.UNSET and self.status.status_code is not StatusCode.OK:
            self.status = Status(code)

    def record_exception(self, *_: Any, **__: Any) -> None:
        """Nothing: its text may quote a prompt."""

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is None:
            self.end_time = end_time or time.time_ns()
            self._recorder.finish(self)
