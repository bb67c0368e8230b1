"""What a check tells the trace and the log: names, states, counts and scores, never content."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import trace

from guardrails.findings import Action
from guardrails.pipeline.checking import summed_up
from servicekit import logs, names
from servicekit.recording import write_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.trace import Span, Tracer

    from guardrails.findings import Direction, Execution, Finding
    from guardrails.requests.admission import Admitted

    from .metrics import GuardMetrics

__all__ = ["Observer", "Watch"]


class Outcome(Protocol):
    """What became of one text, now or by the end of the call."""

    @property
    def action(self) -> Action:
        """The strictest action."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What was found."""

    @property
    def executions(self) -> tuple[Execution, ...]:
        """What became of each detector."""


class Watch:
    """One call under observation."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._outcomes: list[Outcome] = []
        # The case that was opened for each text; an empty name where there was none.
        self.reviews: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """A text belongs to this call; it is read when the call ends."""
        self._outcomes.append(outcome)

    @property
    def action(self) -> Action:
        """The strictest action over all texts."""
        return max((outcome.action for outcome in self._outcomes), default=Action.ALLOW)

    @property
    def findings(self) -> list[Finding]:
        """The findings of all texts."""
        return [finding for outcome in self._outcomes for finding in outcome.findings]

    @property
    def executions(self) -> tuple[Execution, ...]:
        """One execution a detector."""
        return summed_up([outcome.executions for outcome in self._outcomes])


class Observer:
    """Writes what a call came to on its span and its log line, and a span for each detector."""

    def __init__(
        self,
        tracer: Tracer,
        metrics: GuardMetrics,
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Make spans with this tracer, and count here."""
        self._tracer = tracer
        self._metrics = metrics
        self._now_ns = now_ns

    @contextmanager
    def watching(self, admitted: Admitted) -> Iterator[Watch]:
        """Observe one call, also one that is cancelled or fails."""
        watch, span, started_ns = Watch(), trace.get_current_span(), self._now_ns()
        is_recorded = span.is_recording()
        try:
            yield watch
        finally:
            facts = _facts(watch, admitted)
            if is_recorded:
                span.set_attributes(facts)
            logs.bind(**{_LOGGED[key]: value for key, value in facts.items()})
            took_s = (self._now_ns() - started_ns) / 1e9
            # The answer goes first; what tells of it can wait for the loop's next turn.
            asyncio.get_running_loop().call_soon(
                self._tell,
                admitted.direction,
                watch,
                span if is_recorded else None,
                started_ns,
                took_s,
            )

    def _tell(
        self, direction: Direction, watch: Watch, span: Span | None, started_ns: int, took_s: float
    ) -> None:
        """Make the spans of the detectors and, where asked for, their lines, and count."""
        executions, findings = watch.executions, watch.findings
        if span is not None:
            for execution in executions:
                self._detector_span(execution, findings, started_ns, span)
        if logs.DEBUGGED.get():
            for execution in executions:
                logs.debug(
                    "detector.ended",
                    detector=execution.detector,
                    state=execution.state.name,
                    score=execution.score,
                    busy_ms=execution.busy_s * 1e3,
                )
        self._metrics.checked(
            direction, watch.action, took_s, executions=executions, findings=findings
        )
        for review in watch.reviews:
            if review:
                self._metrics.review_opened()

    def _detector_span(
        self,
        execution: Execution,
        findings: Sequence[Finding],
        started_ns: int,
        parent: Span,
    ) -> None:
        """A span as long as the detector was busy, from the start of the call."""
        found = [finding for finding in findings if finding.detector == execution.detector]
        write_span(
            self._tracer,
            names.SPAN_DETECTOR.format(detector=execution.detector),
            parent=parent,
            times_ns=(started_ns, started_ns + round(execution.busy_s * 1e9)),
            attributes={
                names.GUARD_DETECTOR: execution.detector,
                names.GUARD_STATE: execution.state.name,
                names.GUARD_SCORE: execution.score,
                names.GUARD_FINDINGS: len(found),
                names.GUARD_CATEGORIES: sorted({finding.category for finding in found}),
            },
        )


def _facts(watch: Watch, admitted: Admitted) -> dict[str, str | int | list[str]]:
    findings = watch.findings
    return {
        names.GUARD_DIRECTION: admitted.direction.name,
        names.GUARD_ACTION: watch.action.name,
        names.GUARD_FINDINGS: len(findings),
        names.GUARD_TREATMENTS: sorted({each.treatment.value for each in findings}),
        names.GUARD_REVIEWS: [name for name in watch.reviews if name],
        names.POLICY_DIGEST: admitted.policy.digest,
    }


# The same facts on the log line.
_LOGGED: Final = {
    key: key.replace(".", "_")
    for key in (
        names.GUARD_DIRECTION,
        names.GUARD_ACTION,
        names.GUARD_FINDINGS,
        names.GUARD_TREATMENTS,
        names.GUARD_REVIEWS,
        names.POLICY_DIGEST,
    )
}
