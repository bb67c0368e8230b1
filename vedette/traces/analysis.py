"""Where the time of a trace went. All functions are pure; times are nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from vedette.traces import names
from vedette.traces.spans import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vedette.traces.spans import Span
    from vedette.traces.trace import Trace

__all__ = [
    "Gap",
    "Segment",
    "critical_path",
    "first_token_ns",
    "gaps",
    "kinds",
    "notable_gaps",
    "output_tokens",
    "self_time_ns",
    "shares",
    "tokens_per_s",
]

_GAP_NS: Final = 5_000_000
_GAP_SHARE: Final = 0.05
_STREAMED_CHECK: Final = "GuardrailsService/StreamCheckText"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of time that one span was responsible for."""

    span: Span
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of the critical path that only a call with work elsewhere below it covers."""

    span: Span
    start_ns: int
    end_ns: int
    # What is known all the same, in words that go on after a colon.
    note: str

    @property
    def duration_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


def self_time_ns(trace: Trace, span: Span) -> int:
    """The time of a span in which nothing below it ran."""
    return sum(end - start for start, end in _uncovered(trace, span))


def critical_path(trace: Trace) -> list[Segment]:
    """For each moment of the root, the work that explains it best, in order of time.

    Of what runs at a moment, spans that wait for something below them are passed over. Of the
    rest, a phase (a span with nothing below it at any time) goes before a call that merely goes
    on meanwhile, as the guard's stream does while the model decodes; then what ends last goes
    first, because it is what the caller waits for. The detectors of a stream come after other
    phases: they were busy now and then, and are drawn in one piece from its beginning. The
    segments cover the root exactly.
    """
    root = trace.root
    below = sorted(_subtree(trace, root), key=lambda span: span.start_ns, reverse=True)
    times = sorted({time for span in below for time in (span.start_ns, span.end_ns)})
    times = [time for time in times if root.start_ns <= time <= root.end_ns]
    path: list[Segment] = []
    running: list[Span] = []
    for start_ns, end_ns in pairwise(times):
        while below and below[-1].start_ns <= start_ns:
            running.append(below.pop())
        running = [span for span in running if span.end_ns > start_ns]
        span = _explains(trace, running)
        if path and path[-1].span is span:
            start_ns = path.pop().start_ns  # noqa: PLW2901  # the stretch goes on
        path.append(Segment(span=span, start_ns=start_ns, end_ns=end_ns))
    return path


def shares(path: Iterable[Segment]) -> list[tuple[Span, int]]:
    """The time that each span explains, the largest first."""
    found: dict[str, tuple[Span, int]] = {}
    for segment in path:
        _, time_ns = found.get(segment.span.span_id, (segment.span, 0))
        found[segment.span.span_id] = (segment.span, time_ns + segment.end_ns - segment.start_ns)
    return sorted(found.values(), key=lambda share: share[1], reverse=True)


def kinds(path: Iterable[Segment]) -> list[tuple[list[Span], int]]:
    """The spans of one service and name, and the time they explain together; the largest first."""
    found: dict[tuple[str, str], tuple[list[Span], int]] = {}
    for span, time_ns in shares(path):
        spans, sum_ns = found.get((span.service, span.short_name), ([], 0))
        found[span.service, span.short_name] = ([*spans, span], sum_ns + time_ns)
    return sorted(found.values(), key=lambda kind: kind[1], reverse=True)


def gaps(trace: Trace, *, min_ns: int) -> list[Gap]:
    """Stretches of at least `min_ns` on the critical path that nothing recorded explains.

    There a call had work below it, but not then. The longest comes first.
    """
    found = [
        Gap(
            span=segment.span,
            start_ns=segment.start_ns,
            end_ns=segment.end_ns,
            note=_note(trace, segment),
        )
        for segment in critical_path(trace)
        if trace.children.get(segment.span.span_id) and segment.end_ns - segment.start_ns >= min_ns
    ]
    return sorted(found, key=lambda gap: gap.duration_ns, reverse=True)


def notable_gaps(trace: Trace) -> list[Gap]:
    """The gaps that matter: long for people, and a fair part of the request."""
    return gaps(trace, min_ns=max(_GAP_NS, round(trace.duration_ns * _GAP_SHARE)))


def first_token_ns(trace: Trace) -> int | None:
    """From the start of the trace to the model's first token; None if there was none."""
    times = [
        event.time_ns
        for span in trace.spans
        for event in span.events
        if event.name == names.EVENT_FIRST_TOKEN
    ]
    starts = [span.start_ns for span in trace.spans if span.name == names.SPAN_DECODE]
    first = min(times or starts, default=None)
    return None if first is None else max(0, first - trace.start_ns)


def output_tokens(trace: Trace) -> int:
    """The tokens of all answers together; nought if the spans do not say."""
    # A trace may hold several requests; the call above each decode says what it made.
    makers = [
        trace.by_id[span.parent_id] for span in _decodes(trace) if span.parent_id in trace.by_id
    ]
    return sum(map(_output_tokens, makers)) or max(map(_output_tokens, trace.spans), default=0)


def tokens_per_s(trace: Trace) -> float | None:
    """Tokens a second while the model decoded; None if the spans do not say."""
    decode_ns = sum(span.duration_ns for span in _decodes(trace))
    tokens = output_tokens(trace)
    return tokens / (decode_ns / 1e9) if tokens and decode_ns else None


def _decodes(trace: Trace) -> list[Span]:
    return [span for span in trace.spans if span.name == names.SPAN_DECODE]


def _output_tokens(span: Span) -> int:
    value = span.attributes.get(names.GEN_AI_OUTPUT_TOKENS)
    return value if isinstance(value, int) else 0


def _note(trace: Trace, segment: Segment) -> str:
    """A call that is on its way has an explanation, if not a record."""
    callees = trace.children.get(segment.span.span_id, ())
    if segment.span.kind is Kind.CLIENT and callees:
        if segment.end_ns <= min(callee.start_ns for callee in callees):
            return f"on the way to {callees[0].service}, or waiting there to be taken up"
        if segment.start_ns >= max(callee.end_ns for callee in callees):
            return f"on the way back from {callees[0].service}"
    return "nothing recorded"


def _explains(trace: Trace, running: list[Span]) -> Span:
    """Of spans that run at one moment, the one that the caller waits for."""
    waiting = {span.parent_id for span in running}

    def rank(span: Span) -> tuple[bool, bool, int, int]:
        is_phase = not trace.children.get(span.span_id)
        is_placed = is_phase and not _is_scattered(trace, span)
        return (is_placed, is_phase, span.end_ns, span.start_ns)

    return max((span for span in running if span.span_id not in waiting), key=rank)


def _is_scattered(trace: Trace, span: Span) -> bool:
    """Whether a span says how long something was busy within a stream, and not when."""
    parent = trace.by_id.get(span.parent_id or "")
    is_streamed = parent is not None and parent.name.endswith(_STREAMED_CHECK)
    return is_streamed and names.GUARD_STATE in span.attributes


def _subtree(trace: Trace, root: Span) -> Iterator[Span]:
    """The root and everything below it, each span once."""
    todo, seen = [root], set[str]()
    while todo:
        span = todo.pop()
        if span.span_id not in seen:
            seen.add(span.span_id)
            yield span
            todo += trace.children.get(span.span_id, ())


def _uncovered(trace: Trace, span: Span) -> Iterator[tuple[int, int]]:
    """The stretches of a span that no child covers."""
    at_ns = span.start_ns
    for start_ns, end_ns in sorted(_intervals(trace.children.get(span.span_id, ()))):
        if min(start_ns, span.end_ns) > at_ns:
            yield at_ns, min(start_ns, span.end_ns)
        at_ns = max(at_ns, end_ns)
    if at_ns < span.end_ns:
        yield at_ns, span.end_ns


def _intervals(spans: Iterable[Span]) -> Iterator[tuple[int, int]]:
    return ((span.start_ns, span.end_ns) for span in spans)
