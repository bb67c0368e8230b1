"""What a trace shows of one generation: the queue, the prefill and the decode."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import trace

from servicekit import names

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from inference.catalogue import Endpoint
    from inference.engine.request import Output, Sampling, Timings

__all__ = ["GenerationSpans"]


class GenerationSpans:
    """Writes the spans of one generation when it is over, however it ended."""

    def __init__(self, tracer: Tracer, endpoint: Endpoint, sampling: Sampling) -> None:
        """Describe the request on the current span, which is the RPC's."""
        self._tracer = tracer
        self._rpc = trace.get_current_span()
        self._timings: Timings | None = None
        self._output_tokens = 0
        self._rpc.set_attributes(
            {
                names.GEN_AI_OPERATION: "chat",
                names.GEN_AI_PROVIDER: "vedette",
                names.GEN_AI_REQUEST_MODEL: endpoint.card.name,
                names.GEN_AI_RESPONSE_MODEL: endpoint.card.name,
                names.GEN_AI_REQUEST_MAX_TOKENS: sampling.max_new_tokens,
                names.GEN_AI_REQUEST_TEMPERATURE: sampling.temperature,
            }
        )

    def note(self, output: Output) -> None:
        """Take in one piece of news."""
        self._timings = output.timings or self._timings
        self._output_tokens += output.new_tokens
        if output.finish_reason is not None and output.usage is not None:
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
        self._rpc.set_attribute(names.GEN_AI_OUTPUT_TOKENS, self._output_tokens)
        if self._timings is None:
            return
        # Spans carry the time of day, the engine a clock that never jumps.
        epoch_s = time.time() - time.monotonic()
        times = self._timings
        marks = [times.arrived_s, times.scheduled_s, times.first_token_s, times.finished_s]
        parent = trace.set_span_in_context(self._rpc)
        phases = (names.SPAN_QUEUE, names.SPAN_PREFILL, names.SPAN_DECODE)
        for name, start_s, end_s in zip(phases, marks, marks[1:], strict=False):
            if start_s is None:
                break
            span = self._tracer.start_span(
                name, context=parent, start_time=round((epoch_s + start_s) * 1e9)
            )
            ended_s = end_s or times.finished_s or time.monotonic()
            span.end(end_time=round((epoch_s + ended_s) * 1e9))
