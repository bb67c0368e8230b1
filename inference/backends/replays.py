"""Steps that only decode, in a few fixed shapes: each is recorded once and then replayed.

A small step takes a GPU longer to be told, operation by operation, than to compute. Recorded as a
CUDA graph it is told in one call; but a graph always has the same shape, and reads and writes the
same memory. So rows are padded to one of a few shapes, and their numbers are copied to where the
graph reads them. Elsewhere a replay computes again, so that all but the recording itself runs, and
is tested, on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inference.engine.runner import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from inference.backends.batch import Batch

__all__ = ["Replays"]

# Beyond this many times what the rows themselves read, padding costs more than a graph saves.
_MOST_PADDING = 2


class Replays:
    """What was recorded, by shape."""

    def __init__(
        self,
        compute: Callable[[Batch], Tensor],
        *,
        arrange: Callable[[Sequence[Row], int], Batch],
        spare_block: int,
    ) -> None:
        """Begin with nothing recorded.

        Args:
            compute: the logits of a step, by nothing but operations on the batch's tensors.
            arrange: rows of one token each as a batch with one part of so many blocks.
            spare_block: a block of the cache that no sequence has, for the rows of the padding.
        """
        self._compute = compute
        self._arrange = arrange
        self._padding = Row(-1, [0], 0, 1, [spare_block])
        self._recorded: dict[tuple[int, int], _Recording] = {}

    def logits(self, rows: Sequence[Row]) -> Tensor | None:
        """The logits of a step; None for one that is no good to replay."""
        if any(row.stop - row.start != 1 or not row.wants_logits for row in rows):
            return None
        count, width = _count(len(rows)), _power_of_two(max(len(row.blocks) for row in rows))
        if count * width > _MOST_PADDING * sum(len(row.blocks) for row in rows):
            return None
        batch = self._arrange([*rows, *[self._padding] * (count - len(rows))], width)
        recording = self._recorded.get((count, width))
        if recording is None:
            recording = self._recorded[count, width] = _Recording(self._compute, batch)
        return recording.replay(batch)[: len(rows)]


class _Recording:
    """One shape."""

    def __init__(self, compute: Callable[[Batch], Tensor], batch: Batch) -> None:
        """Record it; the batch's tensors are where it reads from now on."""
        self._compute = compute
        self._batch = batch
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = compute(batch)
        if batch.tokens.device.type == "cuda":
            # The first pass set up what cannot be set up while recording.
            torch.cuda.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._logits = compute(batch)

    def replay(self, batch: Batch) -> Tensor:
        """The logits of this batch, overwritten by the next replay."""
        self._batch.fill(batch)
        if self._graph is not None:
            self._graph.replay()
        else:
            self._logits.copy_(self._compute(self._batch))
        return self._logits


def _count(rows: int) -> int:
    """A number of rows that there are recordings of: a power of two, or a multiple of eight."""
    return _power_of_two(rows) if rows < 8 else -(-rows // 8) * 8


def _power_of_two(least: int) -> int:
    power: int = 1 << (least - 1).bit_length()
    return power
