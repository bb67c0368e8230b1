"""Who computes what in the next step.

Every step first gives each decoding sequence its next token, then spends what is left of the
step's token budget on prompts, in chunks, so that a long prompt does not hold up running answers.
When blocks run out, the sequence that would be missed least gives its blocks back and is computed
again later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.runner import Row

if TYPE_CHECKING:
    from inference.engine.blocks import BlockPool
    from inference.engine.queue import FairQueue
    from inference.engine.sequence import Sequence

__all__ = ["Limits", "Scheduler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the engine takes on."""

    max_running: int  # sequences that share a step
    max_step_tokens: int  # tokens computed in one step
    max_chunk_tokens: int  # of them tokens of prompts, while answers are being decoded


class Scheduler:
    """Waiting and running sequences, and the blocks that the running ones hold."""

    def __init__(self, *, blocks: BlockPool, queue: FairQueue, limits: Limits) -> None:
        """Start with nothing to do."""
        self._blocks = blocks
        self._waiting = queue
        self._limits = limits
        self.running: list[Sequence] = []

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._waiting.push(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence wherever it is; its blocks are free afterwards."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        else:
            self._waiting.remove(sequence)

    def schedule(self, now_s: float) -> list[tuple[Sequence, Row]]:
        """Choose the rows of the next step."""
        rows: list[tuple[Sequence, Row]] = []
        budget = self._limits.max_step_tokens
        for sequence in list(self.running):
            if not _is_ready(sequence, decoding=True) or sequence not in self.running:
                continue
            if self._make_room(sequence):
                rows.append(_row(sequence, 1))
                budget -= 1
        rows = [row for row in rows if row[0] in self.running]
        if rows:
            budget = min(budget, self._limits.max_chunk_tokens)
        self._admit(now_s)
        for sequence in self.running:
            if _is_ready(sequence, decoding=False) and budget > 0:
                count = min(budget, sequence.num_pending)
                rows.append(_row(sequence, count))
                budget -= count
        return rows

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

    def _make_room(self, sequence: Sequence) -> bool:
        """Give a decoding sequence room for one more token, at the cost of others if need be."""
        while self._blocks.blocks_for(len(sequence.tokens)) > len(sequence.blocks):
            taken = self._blocks.take(1)
            if taken is not None:
                sequence.blocks += taken
                continue
            victim = min(self.running, key=_worth)
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _admit(self, now_s: float) -> None:
        """Move sequences from the queue to the running ones while there is room."""
        while self._waiting and len(self.running) < self._limits.max_running:
            sequence = self._waiting.peek()
            if not self._allocate(sequence):
                return
            self._waiting.pop()
            if sequence.scheduled_s is None:
                sequence.scheduled_s = now_s
            self.running.append(sequence)

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

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        self._waiting.push_back(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.num_computed = 0


def _is_ready(sequence: Sequence, *, decoding: bool) -> bool:
    return not sequence.paused and sequence.is_decoding == decoding


def _row(sequence: Sequence, count: int) -> tuple[Sequence, Row]:
    return sequence, Row(
        sequence_id=sequence.id,
        tokens=sequence.tokens,
        start=sequence.num_computed,
        stop=sequence.num_computed + count,
        blocks=sequence.blocks,
    )


def _worth(sequence: Sequence) -> tuple[int, float]:
    """The last to be preempted is the most urgent, then the oldest."""
    return (sequence.request.priority, -sequence.arrived_s)
