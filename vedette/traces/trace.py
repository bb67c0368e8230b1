"""One trace as a tree, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from vedette.traces import names
from vedette.traces.spans import Kind, Span, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["HOPS", "Row", "Trace", "group"]

# The services that a whole request passes.
HOPS: Final = ("gateway", "guardrails", "inference")
_OUTERMOST: Final = HOPS[0]
# The steps of the gateway that may make a call to a service unnecessary.
_CACHES: Final = {"cache": "inference", "verdict_cache": "guardrails"}
# A degradation in words: the part, and what was done instead.
_DEGRADATION: Final = (names.DEGRADED_PART, names.DEGRADED_MODE)
# What such a step says when it was: kept, or made for another request at the same time.
_SPARING: Final = ("hit", "shared")
# The calls that go through guard and model; the others are answered by the gateway itself.
_ANSWERING: Final = ("/Generate", "/StreamGenerate")

_LOOKING_BACK: Final = ("GatewayService/GetUsage", "GatewayService/GetDecision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One span at its place in the tree."""

    span: Span
    depth: int
    is_last: bool
    ancestors_continue: tuple[bool, ...]


@dataclass(frozen=True)
class Trace:
    """All known spans of one trace id; at least one, in order of their start."""

    spans: tuple[Span, ...]

    @property
    def trace_id(self) -> str:
        """The id that all spans share."""
        return self.spans[0].trace_id

    @cached_property
    def start_ns(self) -> int:
        """When the first span began."""
        return min(span.start_ns for span in self.spans)

    @cached_property
    def end_ns(self) -> int:
        """When the last span ended."""
        return max(span.end_ns for span in self.spans)

    @property
    def duration_ns(self) -> int:
        """From the first beginning to the last end."""
        return max(0, self.end_ns - self.start_ns)

    @cached_property
    def by_id(self) -> dict[str, Span]:
        """Each span by its id."""
        return {span.span_id: span for span in self.spans}

    @cached_property
    def children(self) -> dict[str, tuple[Span, ...]]:
        """The spans directly below each span id, in order of their start."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            if span.parent_id is not None:
                found.setdefault(span.parent_id, []).append(span)
        return {parent: tuple(spans) for parent, spans in found.items()}

    @cached_property
    def tops(self) -> tuple[Span, ...]:
        """The spans with no known span above them."""
        return tuple(span for span in self.spans if span.parent_id not in self.by_id)

    @property
    def root(self) -> Span:
        """The span that stands for the whole: the first top one of the outermost service."""
        outer = [span for span in self.tops if span.service == _OUTERMOST]
        return (outer or list(self.tops) or list(self.spans))[0]

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The services that took part, in order of their first span."""
        return tuple(dict.fromkeys(span.service for span in self.spans))

    @cached_property
    def missing_hops(self) -> tuple[str, ...]:
        """The services that this request must have reached and that left no span.

        An answered request passes all of them, save those that were down or that a cache spared;
        one that was blocked need not have reached the model, nor one that was refused anything
        behind the gateway. A service that answered a call must have left a span in any case.
        """
        seen = {span.service for span in self.spans}
        called = {_callee(span) for span in self.spans if self._is_unanswered(span)}
        return tuple(hop for hop in HOPS if hop in (self._expected() - seen) | called)

    @cached_property
    def orphans(self) -> tuple[Span, ...]:
        """Spans whose parent is not here, although it should have been recorded by a service.

        The call that came from outside has its parent at the caller; that is no gap.
        """
        return tuple(
            span for span in self.tops if span.parent_id is not None and not self._enters(span)
        )

    @property
    def is_whole(self) -> bool:
        """Whether each service that it must have reached shows, and no span lost its parent."""
        return not self.missing_hops and not self.orphans

    @property
    def request_id(self) -> str:
        """The name of the request that it shows; empty if it shows none."""
        return str(self.root.attributes.get(names.REQUEST_ID, ""))

    @property
    def looks_back(self) -> bool:
        """Whether it shows a question about earlier requests, which nobody means by the last."""
        return self.root.name.endswith(_LOOKING_BACK)

    @property
    def has_error(self) -> bool:
        """Whether any span ended as an error."""
        return any(span.status is Status.ERROR for span in self.spans)

    @property
    def outcome(self) -> str:
        """How the request ended: "error", else a finish reason, else its status, in lower case."""
        if self.root.status is Status.ERROR:
            return "error"
        reason = self.root.attributes.get(names.FINISH_REASON)
        return str(reason or _code(self.root)).lower()

    @cached_property
    def degradations(self) -> tuple[str, ...]:
        """What worked in a reduced way, each as its part and what was done instead."""
        found = (
            " ".join(str(event.attributes.get(key, "")) for key in _DEGRADATION)
            for span in self.spans
            for event in span.events
            if event.name == names.EVENT_DEGRADED
        )
        return tuple(dict.fromkeys(found))

    def rows(self) -> Iterator[Row]:
        """The tree from the top, each span before what is below it."""
        for top in self.tops or self.spans[:1]:
            yield from self._below(Row(span=top, depth=0, is_last=True, ancestors_continue=()), ())

    def _below(self, row: Row, path: tuple[str, ...]) -> Iterator[Row]:
        yield row
        path = (*path, row.span.span_id)
        # Damaged data could name a span its own ancestor; a tree has no way back.
        children = [c for c in self.children.get(row.span.span_id, ()) if c.span_id not in path]
        for child in children:
            is_last = child is children[-1]
            lines = (*row.ancestors_continue, not row.is_last) if row.depth else ()
            yield from self._below(
                Row(span=child, depth=row.depth + 1, is_last=is_last, ancestors_continue=lines),
                path,
            )

    def _expected(self) -> set[str]:
        """The services that the root's own record says it must have reached."""
        root = self.root
        if root.service != _OUTERMOST:
            return set(HOPS)
        if _code(root) != "OK" or not root.name.endswith(_ANSWERING):
            return {_OUTERMOST}
        return set(HOPS) - self._spared()

    def _spared(self) -> set[str]:
        """The services that an answered request did without, as the gateway says itself."""
        spared = {
            str(event.attributes.get(names.DEGRADED_PART))
            for event in self.root.events
            if event.name == names.EVENT_DEGRADED
        }
        if self.root.attributes.get(names.FINISH_REASON) == "BLOCKED":
            spared.add("inference")
        steps = [span for span in self.spans if span.service == _OUTERMOST]
        hits = {span.name for span in steps if span.attributes.get(names.STEP_OUTCOME) in _SPARING}
        return spared | {_CACHES[name] for name in hits & _CACHES.keys()}

    def _is_unanswered(self, span: Span) -> bool:
        """Whether a span is a call that succeeded without a trace of who answered it."""
        succeeded = span.kind is Kind.CLIENT and _code(span) == "OK"
        return succeeded and not self.children.get(span.span_id)

    def _enters(self, span: Span) -> bool:
        """Whether a span is a call that came from outside."""
        outside = span.service == _OUTERMOST or _OUTERMOST not in self.services
        return span.kind is Kind.SERVER and outside


def _code(span: Span) -> str:
    return str(span.attributes.get(names.RPC_STATUS_CODE, "OK"))


def _callee(span: Span) -> str:
    """The service that a client span called: `vedette.<service>.v1.<Service>/<Method>`."""
    parts = span.name.split(".")
    return parts[1] if len(parts) > 2 and parts[0] == "vedette" else ""


def group(spans: Iterable[Span]) -> list[Trace]:
    """Spans by their trace, the latest trace first; a span that was sent twice counts once."""
    found: dict[str, dict[str, Span]] = {}
    for span in spans:
        found.setdefault(span.trace_id, {})[span.span_id] = span
    traces = [
        Trace(tuple(sorted(by_id.values(), key=lambda span: (span.start_ns, -span.end_ns))))
        for by_id in found.values()
    ]
    return sorted(traces, key=lambda trace: trace.start_ns, reverse=True)
