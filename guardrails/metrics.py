"""What the guard counts: checks, detectors, findings, held characters, cases for people.

Labels are names from the policies and the contract, never anything of a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicekit import instruments, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.metrics import Meter

    from .findings import Action, Direction, Execution, Finding

__all__ = ["GuardMetrics"]


class GuardMetrics:
    """Told of each call once, when it has ended."""

    def __init__(self, meter: Meter) -> None:
        """Record with this meter."""
        self._checks = instruments.CHECK_DURATION.histogram(meter)
        self._detectors = instruments.DETECTOR_DURATION.histogram(meter)
        self._findings = instruments.FINDINGS.counter(meter)
        self._held = instruments.HELD_CHARACTERS.histogram(meter)
        self._opened = instruments.REVIEWS_OPENED.counter(meter)
        self._decided = instruments.REVIEWS_DECIDED.counter(meter)

    def checked(
        self,
        direction: Direction,
        action: Action,
        took_s: float,
        *,
        executions: Iterable[Execution],
        findings: Sequence[Finding],
    ) -> None:
        """A call has ended, also one that failed or was cancelled."""
        where = {names.GUARD_DIRECTION: direction.value}
        self._checks.record(took_s, where | {names.GUARD_ACTION: action.name.lower()})
        for execution in executions:
            self._detectors.record(
                execution.busy_s,
                where
                | {
                    names.GUARD_DETECTOR: execution.detector,
                    names.GUARD_STATE: execution.state.name.lower(),
                },
            )
        for finding in findings:
            self._findings.add(
                1,
                where
                | {
                    names.GUARD_DETECTOR: finding.detector,
                    names.GUARD_CATEGORY: finding.category,
                    names.GUARD_ACTION: finding.action.name.lower(),
                },
            )

    def held(self, most_chars: int) -> None:
        """A streamed answer has ended; this much of it waited at the worst moment."""
        self._held.record(most_chars)

    def review_opened(self) -> None:
        """A case was put before a person."""
        self._opened.add(1)

    def review_decided(self) -> None:
        """A person has decided a case."""
        self._decided.add(1)
