"""What a trace and the metrics show of one generation: the queue, the prefill and the decode.

Requests of one model that run at the same time share the engine's steps. The decode of each is
linked to those of the others, so that a slow one leads to what it had to share with.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import Link

from servicekit import names
from servicekit.recording import write_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Tracer

    from inference.catalogue import Endpoint
    from inference.engine.request import FinishReason, Output, Sampling, Timings, Usage
    from inference.metrics import ModelMetrics

__all__ = ["GenerationSpans", "Observer"]

_MAX_LINKS: Final = 8


class Observer:
    """Makes the spans of generations, and knows which of them run side by side."""

    def __init__(self, tracer: Tracer, metrics: ModelMetrics) -> None:
        """Make spans with this tracer, and count here."""
        self.tracer = tracer
        self.metrics = metrics
        self._open: dict[str, set[GenerationSpans]] = {}

    def begin(self, endpoint: Endpoint, sampling: Sampling) -> GenerationSpans:
        """A request was queued; the current span is its RPC's. Whoever opens it closes it."""
        spans = GenerationSpans(self, endpoint.card.name, sampling)
        others = self._open.setdefault(spans.model, set())
        for other in others:
            other.meet(spans)
            spans.meet(other)
        others.add(spans)
        return spans

    def leave(self, spans: GenerationSpans) -> None:
        """A generation has ended."""
        self._open[spans.model].discard(spans)


class GenerationSpans:
    """Writes the spans of one generation when it is over, however it ended."""

    def __init__(self, observer: Observer, model: str, sampling: Sampling) -> None:
        """Describe the request on the current span, which is the RPC's."""
        self.model = model
        self.timings: Timings | None = None
        self._observer = observer
        self._rpc = trace.get_current_span()
        self._began_s = time.monotonic()
        # Spans carry the time of day, the engine a clock that never jumps. Read once: the end of
        # a phase is the beginning of the next to the nanosecond.
        self._epoch_s = time.time() - self._began_s
        self._output_tokens = 0
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._met: list[GenerationSpans] = []
        self._rpc.set_attributes(
            {
                names.GEN_AI_OPERATION: "chat",
                names.GEN_AI_PROVIDER: "vedette",
                names.GEN_AI_REQUEST_MODEL: model,
                names.GEN_AI_RESPONSE_MODEL: model,
                names.GEN_AI_REQUEST_MAX_TOKENS: sampling.max_new_tokens,
                names.GEN_AI_REQUEST_TEMPERATURE: sampling.temperature,
            }
        )

    def meet(self, other: GenerationSpans) -> None:
        """Another request of the model is there at the same time; a few are remembered."""
        if len(self._met) < _MAX_LINKS:
            self._met.append(other)

    def note(self, output: Output) -> None:
        """Take in one piece of news."""
        self.timings = output.timings or self.timings
        self._output_tokens += output.new_tokens
        if output.finish_reason is not None and output.usage is not None:
            self._finish_reason, self._usage = output.finish_reason, output.usage
            self._rpc.set_attributes(
                {
                    names.FINISH_REASON: output.finish_reason.name.lower(),
                    names.GEN_AI_RESPONSE_FINISH_REASONS: [output.finish_reason.name.lower()],
                    names.GEN_AI_INPUT_TOKENS: output.usage.input_tokens,
                    names.CACHED_TOKENS: output.usage.cached_tokens,
                }
            )

    def close(self) -> None:
        """Write what is known; a phase that was cut short ends now."""
        now_s = time.monotonic()
        self._rpc.set_attribute(names.GEN_AI_OUTPUT_TOKENS, self._output_tokens)
        self._observer.leave(self)
        self._observer.metrics.ended(
            self.model,
            took_s=now_s - self._began_s,
            timings=self.timings,
            finish_reason=self._finish_reason,
            usage=self._usage,
        )
        met, self._met = self._met, []  # or each would keep those before it alive
        if self.timings is None:
            # Which of the two it was only the engine knows, and it has forgotten the request.
            self._phase(names.SPAN_UNANSWERED, self._began_s, now_s)
            return
        times = self.timings
        marks = [times.arrived_s, times.scheduled_s, times.first_token_s, times.finished_s]
        phases = (names.SPAN_QUEUE, names.SPAN_PREFILL, names.SPAN_DECODE)
        for name, start_s, end_s in zip(phases, marks, marks[1:], strict=False):
            if start_s is None:
                break
            links = _shared_with(met, times) if name == names.SPAN_DECODE else []
            self._phase(name, start_s, end_s or times.finished_s or now_s, links)

    def _phase(self, name: str, start_s: float, end_s: float, links: Sequence[Link] = ()) -> None:
        epoch_s = self._epoch_s
        write_span(
            self._observer.tracer,
            name,
            parent=self._rpc,
            times_ns=(round((epoch_s + start_s) * 1e9), round((epoch_s + end_s) * 1e9)),
            links=links,
        )

    @property
    def context(self) -> trace.SpanContext:
        """Where the request is in its own trace."""
        return self._rpc.get_span_context()


def _shared_with(others: Sequence[GenerationSpans], times: Timings) -> list[Link]:
    """The requests that were computed in the same steps: of those met, who ran meanwhile."""
    return [Link(other.context) for other in others if _overlap(times, other.timings)]


def _overlap(one: Timings, other: Timings | None) -> bool:
    if other is None or other.scheduled_s is None or one.scheduled_s is None:
        return False
    forever = float("inf")
    return other.scheduled_s < (one.finished_s or forever) and one.scheduled_s < (
        other.finished_s or forever
    )
