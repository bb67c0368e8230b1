"""What inference counts: generations when they have ended, and the engines when somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation

from servicekit import instruments, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Meter

    from inference.engine.engine import Load
    from inference.engine.request import FinishReason, Timings, Usage

__all__ = ["ModelMetrics"]


class ModelMetrics:
    """The metrics of all models of this process."""

    def __init__(self, meter: Meter) -> None:
        """Record with this meter."""
        self._durations = instruments.GENERATION_DURATION.histogram(meter)
        self._first_tokens = instruments.FIRST_TOKEN.histogram(meter)
        self._per_token = instruments.PER_TOKEN.histogram(meter)
        self._queue = instruments.QUEUE_DURATION.histogram(meter)
        self._prompt_tokens = instruments.PROMPT_TOKENS.counter(meter)
        self._engines: dict[str, Callable[[], Load]] = {}
        instruments.SEQUENCES.observed(meter, self._sequences)
        instruments.KV_USAGE.observed(meter, self._kv_usage)
        instruments.STEPS.observed(meter, self._steps, grows=True)
        instruments.STEP_ROWS.observed(meter, self._rows, grows=True)

    def watch(self, model: str, load: Callable[[], Load]) -> None:
        """Show from now on what this model's engine has to do."""
        self._engines[model] = load

    def ended(
        self,
        model: str,
        *,
        took_s: float,
        timings: Timings | None,
        finish_reason: FinishReason | None,
        usage: Usage | None,
    ) -> None:
        """A generation has ended; without a finish reason its caller has left."""
        labels = {
            names.GEN_AI_OPERATION: "chat",
            names.GEN_AI_PROVIDER: "vedette",
            names.GEN_AI_RESPONSE_MODEL: model,
        }
        reason = finish_reason.name.lower() if finish_reason is not None else "cancelled"
        self._durations.record(took_s, labels | {names.FINISH_REASON: reason})
        if timings is None:
            return
        own = {names.GEN_AI_RESPONSE_MODEL: model}
        if timings.scheduled_s is not None:
            self._queue.record(timings.scheduled_s - timings.arrived_s, own)
        if timings.first_token_s is not None:
            self._first_tokens.record(timings.first_token_s - timings.arrived_s, labels)
        if usage is None:
            return
        self._prompt_tokens.add(usage.cached_tokens, own | {names.PREFIX: "hit"})
        fresh = usage.input_tokens - usage.cached_tokens
        self._prompt_tokens.add(fresh, own | {names.PREFIX: "miss"})
        gaps = usage.output_tokens - 1
        if gaps > 0 and timings.first_token_s is not None and timings.finished_s is not None:
            self._per_token.record((timings.finished_s - timings.first_token_s) / gaps, labels)

    def _sequences(self, _options: CallbackOptions) -> list[Observation]:
        return [
            Observation(count, {names.GEN_AI_RESPONSE_MODEL: model, names.SEQUENCE_STATE: state})
            for model, load in self._engines.items()
            for state, count in (("running", load().running), ("waiting", load().waiting))
        ]

    def _kv_usage(self, _options: CallbackOptions) -> list[Observation]:
        return self._each(lambda load: load.kv_usage)

    def _steps(self, _options: CallbackOptions) -> list[Observation]:
        return self._each(lambda load: load.steps)

    def _rows(self, _options: CallbackOptions) -> list[Observation]:
        return self._each(lambda load: load.rows)

    def _each(self, figure: Callable[[Load], float]) -> list[Observation]:
        return [
            Observation(figure(load()), {names.GEN_AI_RESPONSE_MODEL: model})
            for model, load in self._engines.items()
        ]
