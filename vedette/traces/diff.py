"""Two traces side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vedette.traces import analysis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.traces.spans import Span
    from vedette.traces.trace import Trace

__all__ = ["Pair", "diff"]

# Service and name from the root down, and which of several siblings of that name.
_Place: TypeAlias = tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The spans at one place of two trees; one of them may be missing.

    `waited_change_ns` is how much longer it was on the critical path; over all pairs these add up
    to the change of the whole, so that a call that merely went on meanwhile has none.
    """

    depth: int
    before: Span | None
    after: Span | None
    waited_change_ns: int

    @property
    def span(self) -> Span:
        """Whichever there is, for its name and service."""
        span = self.after or self.before
        assert span is not None
        return span

    @property
    def change_ns(self) -> int:
        """How much longer it took the second time; a span that is missing took no time."""
        before = self.before.duration_ns if self.before else 0
        after = self.after.duration_ns if self.after else 0
        return after - before


def diff(before: Trace, after: Trace) -> list[Pair]:
    """Spans paired by their place in the tree, in the order of the second trace.

    Those that only the first trace has follow their nearest earlier neighbour in it.
    """
    old, new = _places(before), _places(after)
    waited_before, waited_after = _waited_ns(before), _waited_ns(after)
    order = list(new)
    previous: _Place | None = None
    for place in old:
        if place not in new:
            order.insert(order.index(previous) + 1 if previous in order else 0, place)
        previous = place
    return [
        Pair(
            depth=len(place) - 1,
            before=old.get(place),
            after=new.get(place),
            waited_change_ns=_of(waited_after, new.get(place)) - _of(waited_before, old.get(place)),
        )
        for place in order
    ]


def _waited_ns(trace: Trace) -> dict[str, int]:
    """The time of each span on the critical path, by its id."""
    shares = analysis.shares(analysis.critical_path(trace))
    return {span.span_id: time_ns for span, time_ns in shares}


def _of(times_ns: Mapping[str, int], span: Span | None) -> int:
    return times_ns.get(span.span_id, 0) if span else 0


def _places(trace: Trace) -> dict[_Place, Span]:
    found: dict[_Place, Span] = {}
    path: list[tuple[str, str, int]] = []
    seen: Counter[_Place] = Counter()
    for row in trace.rows():
        del path[row.depth :]
        kind: _Place = (*path, (row.span.service, row.span.name, 0))
        path.append((row.span.service, row.span.name, seen[kind]))
        seen[kind] += 1
        found[tuple(path)] = row.span
    return found
