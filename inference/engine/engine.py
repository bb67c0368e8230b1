"""The engine: requests in, one step at a time, news out.

It knows nothing of networks, threads or event loops. Whoever owns it calls `add` and `abort`
between steps, and `step` while there is work. One thread may do all that; no lock is taken.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.engine import sampler
from inference.engine.detokenizer import Detokenizer
from inference.engine.request import FinishReason
from inference.engine.sequence import Sequence
from inference.engine.stopping import StopScanner

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.detokenizer import Vocabulary
    from inference.engine.request import Output, Refusal, Request
    from inference.engine.runner import Row, Runner
    from inference.engine.sampler import Choice
    from inference.engine.scheduler import Plan, Scheduler

__all__ = ["BatchingEngine", "Engine", "Load", "StepError"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What an engine has to do now, and has done so far."""

    running: int
    waiting: int
    kv_usage: float  # the share of all blocks that running sequences hold
    steps: int
    rows: int  # of all steps together


class Engine(Protocol):
    """Continues prompts."""

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""

    def add(self, request: Request) -> Refusal | None:
        """Take on a request, or say why not; its news come from the steps that follow."""

    @property
    def is_stalled(self) -> bool:
        """Whether all there is to do is paused."""

    @property
    def load(self) -> Load:
        """What there is to do; may be asked from any thread."""

    def abort(self, request_id: int) -> None:
        """Forget a request. There is no more news of it; an unknown number does nothing."""

    def cancel(self, request_id: int) -> list[Output]:
        """End a request; its last news, if it was there."""

    def pause(self, request_id: int, *, paused: bool) -> None:
        """Stop computing a request, or go on with it; others may take its place meanwhile."""

    def step(self) -> list[Output]:
        """Compute once and tell what came of it.

        Raises:
            StepError: if computing failed. The requests that shared the step have ended with an
                error; the others go on.
        """


class StepError(Exception):
    """A step failed; `outputs` still has to be delivered."""

    def __init__(self, outputs: list[Output]) -> None:
        """Keep the news of the requests that failed."""
        super().__init__("a step of the engine failed")
        self.outputs = outputs


class BatchingEngine:
    """Continuous batching: every step computes for as many requests as fit."""

    def __init__(
        self,
        *,
        runner: Runner,
        scheduler: Scheduler,
        vocabulary: Vocabulary,
        context_length: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing to do."""
        self._runner = runner
        self._scheduler = scheduler
        self._vocabulary = vocabulary
        self._context_length = context_length
        self._clock = clock
        self._sequences: dict[int, Sequence] = {}
        self._num_steps = 0
        self._num_rows = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._sequences)

    def add(self, request: Request) -> Refusal | None:
        """Queue a request."""
        now_s = self._clock()
        sequence = Sequence(
            request=request,
            detokenizer=Detokenizer(self._vocabulary.backend, request.prompt),
            stops=StopScanner(request.sampling.stop),
            arrived_s=now_s,
        )
        refusal = self._scheduler.add(sequence, now_s)
        if refusal is None:
            self._sequences[request.id] = sequence
        return refusal

    def abort(self, request_id: int) -> None:
        """Free what the request holds, at once."""
        sequence = self._sequences.pop(request_id, None)
        if sequence is not None:
            self._scheduler.remove(sequence)

    @property
    def is_stalled(self) -> bool:
        """Whether all there is to do is paused."""
        return all(sequence.paused for sequence in self._sequences.values())

    @property
    def load(self) -> Load:
        """What there is to do, as of about now."""
        running = len(self._scheduler.running)
        return Load(
            running=running,
            waiting=max(0, len(self._sequences) - running),
            kv_usage=self._scheduler.kv_usage,
            steps=self._num_steps,
            rows=self._num_rows,
        )

    def cancel(self, request_id: int) -> list[Output]:
        """End a request as cancelled."""
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return []
        return [self._end(sequence, FinishReason.CANCELLED, self._clock())]

    def pause(self, request_id: int, *, paused: bool) -> None:
        """Leave a request out of the steps, or take it in again."""
        sequence = self._sequences.get(request_id)
        if sequence is not None:
            self._scheduler.pause(sequence, paused=paused)

    def step(self) -> list[Output]:
        """Schedule, compute, choose, tell."""
        began_s = self._clock()
        late = [s for s in self._sequences.values() if began_s >= s.request.deadline_s]
        outputs = [self._end(sequence, FinishReason.TIME_LIMIT, began_s) for sequence in late]
        plan = self._scheduler.schedule(began_s)
        outputs += [self._end(s, FinishReason.TIME_LIMIT, began_s) for s in plan.hopeless]
        try:
            choices = self._compute(plan.rows)
        except Exception as error:
            outputs += self._fail(_guilty(plan, error))
            raise StepError(outputs) from error
        self._num_steps += 1
        self._num_rows += len(plan.rows)
        now_s = self._clock()
        self._scheduler.note(plan, began_s=began_s, now_s=now_s)
        for sequence, row in plan.rows:
            self._scheduler.computed(sequence, row)
            if row.wants_logits:
                outputs.append(self._commit(sequence, choices[sequence.id], now_s))
        return outputs

    def _compute(self, batch: list[tuple[Sequence, Row]]) -> dict[int, Choice]:
        if not batch:
            return {}
        logits = self._runner.forward([row for _, row in batch])
        deciding = [sequence for sequence, row in batch if row.wants_logits]
        choices = sampler.choose(logits, deciding, self._vocabulary.end_ids) if deciding else []
        return {s.id: choice for s, choice in zip(deciding, choices, strict=True)}

    def _commit(self, sequence: Sequence, choice: Choice, now_s: float) -> Output:
        sampling, guide = sequence.request.sampling, sequence.request.guide
        if guide is not None:
            guide.consume(choice.token)
            if guide.failed:
                return self._end(sequence, FinishReason.ERROR, now_s)
        if sequence.first_token_s is None:
            sequence.first_token_s = now_s
        is_end = choice.token in self._vocabulary.end_ids or choice.token in sampling.stop_token_ids
        text = sequence.push(choice.token, is_end=is_end)
        if is_end or sequence.stops.stopped or (guide is not None and guide.is_complete):
            reason = FinishReason.STOP
        elif (
            sequence.num_generated >= sampling.max_new_tokens
            or len(sequence.tokens) >= self._context_length
        ):
            reason = FinishReason.LENGTH
        else:
            return sequence.progress(text, choice.logprob)
        return self._end(sequence, reason, now_s, text=text, new_tokens=1, logprob=choice.logprob)

    def _end(
        self, sequence: Sequence, reason: FinishReason, now_s: float, **last: object
    ) -> Output:
        self.abort(sequence.id)
        return sequence.finish(reason, now_s, **last)  # type: ignore[arg-type]

    def _fail(self, sequences: list[Sequence]) -> list[Output]:
        now_s = self._clock()
        outputs = [self._end(sequence, FinishReason.ERROR, now_s) for sequence in sequences]
        self._scheduler.drop_cache()
        return outputs


def _guilty(plan: Plan, error: Exception) -> list[Sequence]:
    """Whom a failed step fails: all, but where memory ran out only those with a prompt in it."""
    everyone = [sequence for sequence, _ in plan.rows]
    if not isinstance(error, MemoryError):
        return everyone
    return [sequence for sequence in everyone if not sequence.is_decoding] or everyone
