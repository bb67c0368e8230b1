"""What happened to one request on its way: counts and names, never content."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.answer import Usage

__all__ = ["Degradation", "Journal", "Step"]


@dataclass(frozen=True, slots=True)
class Degradation:
    """A part that worked in a reduced way, and what was done instead."""

    part: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on the way; times in nanoseconds since the request's arrival."""

    name: str
    offset_ns: int
    duration_ns: int
    outcome: str


@dataclass(slots=True)
class Journal:
    """Written by the parts that a request passes; read when it has ended."""

    arrived: datetime = field(default_factory=lambda: datetime.now(UTC))
    trace_id: str = ""
    degradations: list[Degradation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    # What the model has consumed so far, also when no Final ever came.
    usage: Usage | None = None
    # Tokens that were generated before the prompt was blocked.
    wasted_tokens: int = 0
    # How long the model let the request wait, if it said so.
    queue_s: float | None = None
    _arrived_ns: int = field(default_factory=time.perf_counter_ns)

    def degraded(self, part: str, mode: str) -> None:
        """Note a degradation, once."""
        degradation = Degradation(part, mode)
        if degradation not in self.degradations:
            self.degradations.append(degradation)

    def now_ns(self) -> int:
        """Nanoseconds since the request's arrival."""
        return time.perf_counter_ns() - self._arrived_ns

    def step(self, name: str, outcome: str, *, since_ns: int) -> None:
        """Note a step that began at `since_ns` (from `now_ns`) and has just ended."""
        duration_ns = self.now_ns() - since_ns
        self.steps.append(
            Step(name=name, offset_ns=since_ns, duration_ns=duration_ns, outcome=outcome)
        )
