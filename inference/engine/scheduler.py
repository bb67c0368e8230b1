"""Who computes what in the next step.

Every step first gives each decoding sequence its next token, then spends what is left of the
step's token budget on prompts, in chunks, so that a long prompt does not hold up running answers.
When blocks run out, the sequence that would be missed least gives its blocks back and is computed
again later. What cannot end before its deadline is neither queued nor begun.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.chunking import Chunking
from inference.engine.pace import Pace
from inference.engine.request import Refusal
from inference.engine.runner import Row

if TYPE_CHECKING:
    from inference.engine.blocks import BlockPool
    from inference.engine.queue import FairQueue
    from inference.engine.sequence import Sequence

__all__ = ["Limits", "Plan", "Scheduler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the engine takes on."""

    max_running: int  # sequences that share a step
    max_step_tokens: int  # tokens computed in one step
    prompt_share: float  # how long a prompt may take, as a multiple of the answers beside it


@dataclass(slots=True)
class Plan:
    """What one step does."""

    rows: list[tuple[Sequence, Row]] = field(default_factory=list)
    hopeless: list[Sequence] = field(default_factory=list)  # admitted too late to begin with
    num_decoding: int = 0
    num_prompt_tokens: int = 0
    num_admitted: int = 0
    was_queued: bool = False  # whether the step before left sequences waiting

    def add(self, sequence: Sequence, num_tokens: int) -> None:
        """Compute some tokens of a sequence, one of them if it is decoding."""
        if sequence.is_decoding:
            self.num_decoding += 1
        else:
            self.num_prompt_tokens += num_tokens
        row = Row(
            sequence_id=sequence.id,
            tokens=sequence.tokens,
            start=sequence.num_computed,
            stop=sequence.num_computed + num_tokens,
            blocks=sequence.blocks,
        )
        self.rows.append((sequence, row))


class Scheduler:
    """Waiting and running sequences, and the blocks that the running ones hold."""

    def __init__(self, *, blocks: BlockPool, queue: FairQueue, limits: Limits) -> None:
        """Start with nothing to do."""
        self._blocks = blocks
        self._waiting = queue
        self._limits = limits
        self._pace = Pace(max_step_tokens=limits.max_step_tokens)
        self._chunking = Chunking(prompt_share=limits.prompt_share)
        self._is_queued = False
        self._parked: list[Sequence] = []  # paused, and without blocks until they go on
        self.running: list[Sequence] = []

    @property
    def kv_usage(self) -> float:
        """The share of all blocks that running sequences hold."""
        return 1 - self._blocks.num_available / self._blocks.num_blocks

    def add(self, sequence: Sequence, now_s: float) -> Refusal | None:
        """Queue a sequence, unless it cannot end before its deadline."""
        refusal = self._refusal(sequence, now_s)
        if refusal is None:
            self._waiting.push(sequence)
        return refusal

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence wherever it is; its blocks are free afterwards."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        elif sequence in self._parked:
            self._parked.remove(sequence)
        else:
            self._waiting.remove(sequence)

    def pause(self, sequence: Sequence, *, paused: bool) -> None:
        """Leave a sequence out of the steps; it keeps its place while nobody else wants it."""
        sequence.paused = paused
        if not paused and sequence in self._parked:
            self._parked.remove(sequence)
            self._waiting.push_back(sequence)

    def schedule(self, now_s: float) -> Plan:
        """Choose the rows of the next step."""
        plan = Plan(was_queued=self._is_queued)
        for sequence in list(self.running):
            if _is_ready(sequence, decoding=True) and sequence in self.running:
                self._make_room(sequence)
        for sequence in self.running:
            if _is_ready(sequence, decoding=True):
                plan.add(sequence, 1)
        self._admit(plan, now_s)
        budget = self._limits.max_step_tokens - plan.num_decoding
        beginning = [
            sequence
            for sequence in self.running
            if _is_ready(sequence, decoding=False) and sequence not in plan.hopeless
        ]
        if plan.num_decoding:
            chunk = self._chunking.tokens(decoding=plan.num_decoding, beginning=len(beginning))
            budget = min(budget, chunk)
        for sequence in beginning:
            if budget > 0:
                count = min(budget, sequence.num_pending)
                plan.add(sequence, count)
                budget -= count
        self._is_queued = bool(self._waiting)
        return plan

    def note(self, plan: Plan, *, began_s: float, now_s: float) -> None:
        """A step was computed: its time tells how fast the next ones can be."""
        seconds = now_s - began_s
        work = {"decoding": plan.num_decoding, "prompt_tokens": plan.num_prompt_tokens}
        self._pace.note_step(now_s, seconds, **work)
        self._chunking.note(seconds, **work)
        if plan.was_queued:
            self._pace.note_queue(now_s, seconds, left=plan.num_admitted)

    def computed(self, sequence: Sequence, row: Row) -> None:
        """A row was computed: what it filled can be found by others."""
        sequence.num_computed = row.stop
        if self._blocks.fills_block(row.start, row.stop):
            self._blocks.publish(
                sequence.blocks, sequence.tokens[: row.stop], salt=sequence.request.tenant
            )

    def drop_cache(self) -> None:
        """The tensors may be spoiled: whatever is not running must not be found again."""
        for sequence in list(self.running):
            self._preempt(sequence)
        self._blocks.forget()

    def _refusal(self, sequence: Sequence, now_s: float) -> Refusal | None:
        request = sequence.request
        left_s = request.deadline_s - now_s
        if left_s == float("inf"):
            return None
        cached = self._blocks.match(sequence.tokens, salt=request.tenant)
        num_pending = len(sequence.tokens) - len(cached) * self._blocks.block_size
        own_s = self._least_s(sequence, num_pending, now_s)
        if left_s <= 0 or own_s > left_s:
            return Refusal()
        free = self._limits.max_running - len(self.running)
        places = max(0, self._waiting.count_before(request) + 1 - free)
        late_s = self._pace.least_wait_s(now_s, places=places) + own_s - left_s
        return Refusal(retry_after_s=late_s) if late_s > 0 else None

    def _least_s(self, sequence: Sequence, num_pending: int, now_s: float) -> float:
        """What a sequence takes at least, from its first step until it may end."""
        missing = sequence.request.sampling.min_new_tokens - sequence.num_generated
        return self._pace.least_s(now_s, prompt_tokens=num_pending, new_tokens=max(1, missing))

    def _make_room(self, sequence: Sequence) -> None:
        """Give a decoding sequence room for one more token, at the cost of others or its own."""
        while self._blocks.blocks_for(len(sequence.tokens)) > len(sequence.blocks):
            taken = self._blocks.take(1)
            if taken is not None:
                sequence.blocks += taken
                continue
            victim = min(self.running, key=_worth)
            self._preempt(victim)
            if victim is sequence:
                return

    def _admit(self, plan: Plan, now_s: float) -> None:
        """Move sequences from the queue to the running ones while there is room."""
        while self._waiting:
            sequence = self._waiting.peek()
            if len(self.running) >= self._limits.max_running or not self._allocate(sequence):
                if not self._park_one():
                    return
                continue
            self._waiting.pop()
            self.running.append(sequence)
            plan.num_admitted += 1
            left_s = sequence.request.deadline_s - now_s
            if self._least_s(sequence, sequence.num_pending, now_s) > left_s:
                plan.hopeless.append(sequence)
            elif sequence.scheduled_s is None:
                sequence.scheduled_s = now_s

    def _allocate(self, sequence: Sequence) -> bool:
        """Hold blocks for all tokens of a sequence, sharing what is cached."""
        cached = self._blocks.match(sequence.tokens, salt=sequence.request.tenant)
        self._blocks.hold(cached)
        fresh = self._blocks.take(self._blocks.blocks_for(len(sequence.tokens)) - len(cached))
        if fresh is None:
            self._blocks.release(cached)
            return False
        sequence.blocks = cached + fresh
        sequence.num_computed = len(cached) * self._blocks.block_size
        if sequence.scheduled_s is None:
            sequence.num_cached = sequence.num_computed
        return True

    def _park_one(self) -> bool:
        """Make a paused sequence give up its place, if there is one."""
        paused = [sequence for sequence in self.running if sequence.paused]
        if paused:
            self._preempt(min(paused, key=_worth))
        return bool(paused)

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        if sequence.paused:
            self._parked.append(sequence)
        else:
            self._waiting.push_back(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.num_computed = 0


def _is_ready(sequence: Sequence, *, decoding: bool) -> bool:
    return not sequence.paused and sequence.is_decoding == decoding


def _worth(sequence: Sequence) -> tuple[bool, int, float]:
    """The last to be preempted is one that somebody reads, the most urgent, then the oldest."""
    return (not sequence.paused, sequence.request.priority, -sequence.arrived_s)
