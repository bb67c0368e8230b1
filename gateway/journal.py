"""What happened to one request on its way: counts and names, never content.

Each step is noted here for the request's record, and is a span of the request's trace. What is
called during a step is below it there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from opentelemetry import context as otel_context
from opentelemetry import trace

from servicekit import logs, names

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from gateway.answer import Usage

__all__ = ["Degradation", "Journal", "OpenStep", "Step"]


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
    # None where the request's trace is not recorded: then its steps are no spans.
    tracer: Tracer | None = field(default=None, repr=False)
    degradations: list[Degradation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    # What the model has consumed so far, also when no Final ever came, and which model it is.
    usage: Usage | None = None
    model: str = ""
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

    def fork(self) -> Journal:
        """A journal for work that others share: its steps are this one's, its usage is its own."""
        return Journal(
            arrived=self.arrived,
            trace_id=self.trace_id,
            tracer=self.tracer,
            steps=self.steps,
            _arrived_ns=self._arrived_ns,
        )

    def begin(self, name: str, outcome: str) -> OpenStep:
        """Begin a step; `outcome` is what became of it if nobody says otherwise."""
        return OpenStep(self, name, outcome)


class OpenStep:
    """A step that has not ended.

    As a context manager it has below it what is called in there, and ends on leaving; use it around
    awaits, never around a yield. `enter` and `leave` are that without the end.
    """

    def __init__(self, journal: Journal, name: str, outcome: str) -> None:
        """Begin now; see `Journal.begin`."""
        self.outcome = outcome
        self._journal = journal
        self._name = name
        self._since_ns = journal.now_ns()
        self._span = journal.tracer.start_span(name) if journal.tracer else None
        self._is_over = False
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self.end()

    def enter(self) -> None:
        """What is called from now on is below this step."""
        if self._span is not None:
            self._token = otel_context.attach(trace.set_span_in_context(self._span))

    def leave(self) -> None:
        """What is called from now on is not."""
        if self._token is not None:
            otel_context.detach(self._token)

    def end(self, outcome: str = "") -> None:
        """It is over; only the first end counts."""
        if self._is_over:
            return
        self._is_over = True
        duration_ns = self._journal.now_ns() - self._since_ns
        outcome = outcome or self.outcome
        self._journal.steps.append(
            Step(
                name=self._name,
                offset_ns=self._since_ns,
                duration_ns=duration_ns,
                outcome=outcome,
            )
        )
        logs.debug("step.ended", step=self._name, outcome=outcome, duration_ms=duration_ns / 1e6)
        if self._span is not None:
            self._span.set_attribute(names.STEP_OUTCOME, outcome)
            self._span.end()
