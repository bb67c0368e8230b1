"""What the guards decided, read from the spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vedette.traces import names

if TYPE_CHECKING:
    from vedette.traces.spans import Span
    from vedette.traces.trace import Trace

__all__ = ["Verdict", "of_span", "of_trace"]

# From the mildest to the strictest.
_ACTIONS: Final = ("ALLOW", "REDACT", "REVIEW", "BLOCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check came to: an action, what was found, and what did not run."""

    action: str
    categories: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether everything ran and nothing was found."""
        return not (self.categories or self.not_run) and self.action in ("", "ALLOW")


def of_span(span: Span) -> Verdict | None:
    """The verdict that a span records; None if it is not a guard's."""
    attributes = span.attributes
    state = str(attributes.get(names.GUARD_STATE, "RAN"))
    if not {names.GUARD_ACTION, names.GUARD_STATE, names.GUARD_CATEGORIES} & attributes.keys():
        return None
    categories = attributes.get(names.GUARD_CATEGORIES)
    detector = str(attributes.get(names.GUARD_DETECTOR, span.name))
    return Verdict(
        action=str(attributes.get(names.GUARD_ACTION, "")),
        categories=tuple(map(str, categories)) if isinstance(categories, list) else (),
        not_run=() if state in ("RAN", "SKIPPED") else (f"{detector} {state}",),
    )


def of_trace(trace: Trace) -> Verdict | None:
    """The strictest action with everything that was found; None if no guard took part."""
    verdicts = [verdict for span in trace.spans if (verdict := of_span(span)) is not None]
    if not verdicts:
        return None
    actions = [verdict.action for verdict in verdicts if verdict.action in _ACTIONS]
    return Verdict(
        action=max(actions, key=_ACTIONS.index, default=""),
        categories=tuple(sorted({c for verdict in verdicts for c in verdict.categories})),
        not_run=tuple(sorted({n for verdict in verdicts for n in verdict.not_run})),
    )
