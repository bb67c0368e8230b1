"""What a caller waited for most, and what that kind of work waits for, in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vedette.counting import counted
from vedette.traces import analysis, names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.traces.spans import Span
    from vedette.traces.trace import Trace

__all__ = ["Cause", "cause"]

# What is less than this share of a trace is not worth a name.
_NAMED_SHARE: Final = 0.01
_STORE: Final = "asking where limits, budgets and records are kept: Redis, if one is set"
# The steps that ask the same store, and therefore have a cause in common.
_STORE_STEPS: Final = ("limits", "budget", "settle", "record", "give_back")
_CACHE: Final = "looking into a cache: in Redis, if one is set"
# What is known of a kind of span without looking at its attributes.
_SAYS: Final = {
    "auth": "finding the caller, for which an issuer's keys may have to be fetched",
    **dict.fromkeys(_STORE_STEPS, _STORE),
    "cache": _CACHE,
    "verdict_cache": _CACHE,
    names.SPAN_QUEUE: "waiting for the engine, which was busy with other requests",
    names.SPAN_UNANSWERED: "waiting for a first token that did not come in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The kind of work that explains most of a trace; several spans of a kind count together."""

    # What the kind is called: the name of its spans, or their names.
    name: str
    span: Span
    count: int
    time_ns: int
    # Of the whole, from 0 to 1.
    share: float
    # A phrase that goes on after a colon.
    words: str

    @property
    def short_name(self) -> str:
        """The name where there is little room: the first of several, and how many follow."""
        first, *others = self.name.split(", ")
        return f"{first} +{len(others)}" if others else first


def cause(trace: Trace) -> Cause | None:
    """What leads the critical path; None for a trace that took no time."""
    kinds = _with_store(analysis.kinds(analysis.critical_path(trace)))
    if not kinds or not trace.root.duration_ns:
        return None
    spans, time_ns = kinds[0]
    return Cause(
        name=", ".join(dict.fromkeys(span.short_name for span in spans)),
        span=spans[0],
        count=len(spans),
        time_ns=time_ns,
        share=time_ns / trace.root.duration_ns,
        words=_words(trace, spans),
    )


def _with_store(kinds: list[tuple[list[Span], int]]) -> list[tuple[list[Span], int]]:
    """The kinds with those that ask the store as one, the largest first."""
    least_ns = sum(time_ns for _, time_ns in kinds) * _NAMED_SHARE
    asking = [
        (spans, time_ns)
        for spans, time_ns in kinds
        if spans[0].name in _STORE_STEPS and time_ns >= least_ns
    ]
    if len(asking) < 2:
        return kinds
    spans = [span for kind, _ in asking for span in kind]
    store = (sorted(spans, key=lambda span: span.start_ns), sum(time_ns for _, time_ns in asking))
    rest = [kind for kind in kinds if kind not in asking]
    return sorted([store, *rest], key=lambda kind: kind[1], reverse=True)


def _words(trace: Trace, spans: Sequence[Span]) -> str:
    span = spans[0]
    if span.name == names.SPAN_PREFILL:
        return _prefill(trace, spans)
    if span.name == names.SPAN_DECODE:
        return _decode(trace, spans)
    if names.GUARD_STATE in span.attributes:
        return _detector(trace, spans)
    return _SAYS.get(span.name) or _busiest(trace, span) or _own_time(trace, spans)


def _own_time(trace: Trace, spans: Sequence[Span]) -> str:
    """A call that waits for its callee is under way; other work has no further name."""
    notes = {gap.note for gap in analysis.gaps(trace, min_ns=1) if gap.span in spans}
    ways = sorted((note for note in notes if note.startswith("on the way")), reverse=True)
    if len(ways) > 1:
        callee = trace.children[spans[0].span_id][0].service
        return f"on the way to {callee} and back, or waiting there to be taken up"
    return ways[0] if ways else f"work of {spans[0].service} that no other span names"


def _prefill(trace: Trace, spans: Sequence[Span]) -> str:
    tokens = _total(trace, spans, names.GEN_AI_INPUT_TOKENS)
    cached = _total(trace, spans, names.CACHED_TOKENS)
    if not tokens:
        return "computing the prompt"
    known = f"{cached:,} of them" if cached else "none"
    return f"computing a prompt of {counted(tokens, 'token')}, {known} known from earlier prompts"


def _decode(trace: Trace, spans: Sequence[Span]) -> str:
    tokens = analysis.output_tokens(trace)
    rate = analysis.tokens_per_s(trace)
    others = {other for span in spans for other in span.shared_with} - {trace.trace_id}
    said = f"making {counted(tokens, 'token')}" if tokens else "making the answer"
    said += "" if rate is None else f" at {rate:.0f} tokens/s"
    return said + (f", beside {counted(len(others), 'other request')}" if others else "")


def _detector(trace: Trace, spans: Sequence[Span]) -> str:
    direction = _of_parent(trace, spans[0], names.GUARD_DIRECTION)
    read = {"INPUT": "the prompt", "OUTPUT": "the answer"}.get(str(direction), "the text")
    states = {str(span.attributes[names.GUARD_STATE]) for span in spans}
    late = ", until it ran out of time" if "TIMED_OUT" in states else ""
    return f"a detector of the guard reading {read}{late}"


def _busiest(trace: Trace, span: Span) -> str:
    """A stream of the guard that outlasts what it follows was held up by its slowest detector."""
    detectors = [
        d for d in trace.children.get(span.span_id, ()) if names.GUARD_STATE in d.attributes
    ]
    slowest = max(detectors, key=lambda detector: detector.duration_ns, default=None)
    if slowest is None or not slowest.duration_ns:
        return ""
    detector = slowest.attributes.get(names.GUARD_DETECTOR, slowest.short_name)
    return f"holding text for its detectors, of which {detector} was busy longest"


def _total(trace: Trace, spans: Sequence[Span], key: str) -> int:
    values = (_of_parent(trace, span, key) for span in spans)
    return sum(value for value in values if isinstance(value, int))


def _of_parent(trace: Trace, span: Span, key: str) -> object:
    parent = trace.by_id.get(span.parent_id or "")
    return None if parent is None else parent.attributes.get(key)
