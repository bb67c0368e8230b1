"""What the guard counts: checks, detectors, findings, held characters, cases for people.

Labels are names from the policies and the contract, never anything of a text.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation

from servicekit import instruments, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.metrics import Meter

    from guardrails.findings import Action, Direction, Execution, ExecutionState, Finding
    from guardrails.pipeline.shadow.tally import Tally

__all__ = ["GuardMetrics"]


class GuardMetrics:
    """Told of each call once, when it has ended."""

    def __init__(self, meter: Meter) -> None:
        """Record with this meter."""
        self._checks = instruments.CHECK_DURATION.histogram(meter)
        self._detectors = instruments.DETECTOR_DURATION.histogram(meter)
        self._findings = instruments.FINDINGS.counter(meter)
        self._held = instruments.HELD_CHARACTERS.histogram(meter)
        self._tallies: Callable[[], Iterable[Tally]] = tuple
        instruments.SHADOW_CHECKS.observed(meter, self._look_at_shadows, grows=True)
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
        self._checks.record(took_s, _check_labels(direction, action))
        for execution in executions:
            labels = _detector_labels(direction, execution.detector, execution.state)
            self._detectors.record(execution.busy_s, labels)
        for finding in findings:
            self._findings.add(
                1,
                {
                    names.GUARD_DIRECTION: direction.value,
                    names.GUARD_DETECTOR: finding.detector,
                    names.GUARD_CATEGORY: finding.category,
                    names.GUARD_ACTION: finding.action.name.lower(),
                },
            )

    def held(self, most_chars: int) -> None:
        """A streamed answer has ended; this much of it waited at the worst moment."""
        self._held.record(most_chars)

    def watch_shadows(self, tallies: Callable[[], Iterable[Tally]]) -> None:
        """Show from now on what candidates thought."""
        self._tallies = tallies

    def _look_at_shadows(self, _options: CallbackOptions) -> list[Observation]:
        counts: Counter[tuple[str, str]] = Counter()
        for tally in self._tallies():
            name = tally.pair.candidate
            compared, disagreed = tally.compared.total(), tally.disagreed
            counts[name, "agreed"] += compared - disagreed
            counts[name, "disagreed"] += disagreed
            counts[name, "failed"] += tally.failed
            counts[name, "dropped"] += tally.dropped
        return [
            Observation(count, {names.SHADOW_POLICY: name, names.SHADOW_OUTCOME: outcome})
            for (name, outcome), count in counts.items()
        ]

    def review_opened(self) -> None:
        """A case was put before a person."""
        self._opened.add(1)

    def review_decided(self) -> None:
        """A person has decided a case."""
        self._decided.add(1)


# Directions, actions and states are few, and detectors are those of the policies.
@functools.lru_cache(maxsize=1024)
def _check_labels(direction: Direction, action: Action) -> dict[str, str]:
    return {names.GUARD_DIRECTION: direction.value, names.GUARD_ACTION: action.name.lower()}


@functools.lru_cache(maxsize=1024)
def _detector_labels(direction: Direction, detector: str, state: ExecutionState) -> dict[str, str]:
    return {
        names.GUARD_DIRECTION: direction.value,
        names.GUARD_DETECTOR: detector,
        names.GUARD_STATE: state.name.lower(),
    }
