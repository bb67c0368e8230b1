"""Spans that cost little, and that cannot record an exception.

The SDK's spans take locks, clean and count what they are given, and keep room for what nobody here
uses: 21 µs each, several times that in a process whose caches hold other things. These keep what
they are told and become the SDK's `ReadableSpan` when they end; everything behind that, processors
and exporters, is the SDK's. They have no place for an exception, whose text may quote a prompt.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
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
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link
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
        self._resource = tracer.resource
        self._processor = tracer.span_processor
        self._scope = tracer._instrumentation_scope  # noqa: SLF001  # has no other name

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

    @contextmanager
    def start_as_current_span(  # type: ignore[override]
        self, name: str, *args: Any, **kwargs: Any
    ) -> Iterator[Span]:
        """As the API's, for use around awaits and never around a yield.

        A span left by an exception is marked as an error with the exception's type.
        """
        span = self.start_span(name, *args, **kwargs)
        with trace.use_span(span, True, False, False):  # end it, and nothing else
            try:
                yield span
            except Exception as error:
                span.set_attribute(names.ERROR_TYPE, type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

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
        start_ns, end_ns = times_ns
        self._processor.on_end(
            ReadableSpan(
                name=name,
                context=self._below(parent),
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                links=links,
                instrumentation_scope=self._scope,
                start_time=start_ns,
                end_time=end_ns,
            )
        )

    def finish(self, span: _Recording, end_ns: int) -> None:
        """A span has ended."""
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=span.context,
                parent=span.parent,
                resource=self._resource,
                attributes=span.attributes,
                events=span.events,
                links=span.links,
                kind=span.kind,
                status=span.status,
                instrumentation_scope=self._scope,
                start_time=span.start_ns,
                end_time=end_ns,
            )
        )

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


class _Recording(Span):
    """A span that has not ended; what it is told after its end is lost, as the API wants it."""

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
        self.links = links or ()
        self.events: list[Event] = []
        self.status = _UNSET
        self.start_ns = start_time or time.time_ns()
        self._recorder: Recorder | None = recorder

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return self._recorder is not None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if self._recorder is not None:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        if self._recorder is not None:
            self.attributes.update(attributes)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        if self._recorder is not None:
            self.events.append(Event(name, attributes or {}, timestamp or time.time_ns()))

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
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.finish(self, end_time or time.time_ns())
