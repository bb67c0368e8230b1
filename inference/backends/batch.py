"""The rows of a step as tensors, made once and used by every layer.

Decoding rows come first, in groups of similar length, so that a long sequence among short ones
does not make all of them read as much as it does. Chunks of prompts follow, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from inference.engine.runner import Row

__all__ = ["Batch", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows whose attention is computed together: as many queries for each of some sequences."""

    rows: slice
    num_sequences: int
    blocks: Tensor  # as many for each sequence
    bias: Tensor  # by key-value head and sequence, query, place: 0 where it may look, else -inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One step."""

    num_tokens: int
    tokens: Tensor
    positions: Tensor
    slots: Tensor  # where each token's keys and values go
    parts: tuple[Part, ...]
    deciding: Tensor  # which tokens' logits are wanted, in the order of the rows given

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        *,
        block_size: int,
        heads: tuple[int, int],
        like: Tensor,
        width: int | None = None,
    ) -> Self:
        """Arrange rows.

        Args:
            rows: what the step computes.
            block_size: tokens in a block.
            heads: key-value heads, and how many query heads share each.
            like: a tensor of the model's precision and device.
            width: let all rows, of one token each, be one part of so many blocks.
        """
        rank = _rank if width is None else _alike
        order = sorted(range(len(rows)), key=lambda index: rank(rows[index]))
        arranged = [rows[index] for index in order]
        ends, end = [0] * len(rows), 0
        for index, row in zip(order, arranged, strict=True):
            end += row.stop - row.start
            ends[index] = end
        return cls(
            num_tokens=end,
            tokens=_tensor([t for r in arranged for t in r.tokens[r.start : r.stop]], like),
            positions=_tensor([p for r in arranged for p in range(r.start, r.stop)], like),
            slots=_tensor([s for r in arranged for s in _slots(r, block_size)], like),
            parts=tuple(
                _part(group, begin, width, block_size, heads, like)
                for begin, group in _groups(arranged, rank)
            ),
            deciding=_tensor(
                [end - 1 for end, row in zip(ends, rows, strict=True) if row.wants_logits], like
            ),
        )

    def fill(self, other: Batch) -> None:
        """Take over the numbers of a batch of the same shape."""
        for own, new in zip(self._tensors(), other._tensors(), strict=True):
            own.copy_(new)

    def _tensors(self) -> list[Tensor]:
        whole = [self.tokens, self.positions, self.slots, self.deciding]
        return whole + [tensor for part in self.parts for tensor in (part.blocks, part.bias)]


def _rank(row: Row) -> tuple[int, int]:
    """Decoding rows by the power of two of their blocks, then the rest, each by itself."""
    if row.stop - row.start == 1:
        return len(row.blocks).bit_length(), 0
    return 1 << 30, row.sequence_id


def _slots(row: Row, block_size: int) -> Iterator[int]:
    for place in range(row.start, row.stop):
        yield row.blocks[place // block_size] * block_size + place % block_size


def _alike(_row: Row) -> tuple[int, int]:
    return 0, 0


def _groups(
    rows: Sequence[Row], rank: Callable[[Row], tuple[int, int]]
) -> Iterator[tuple[int, list[Row]]]:
    """The rows of each part, and the first of its tokens."""
    begin = 0
    for _, members in groupby(rows, key=rank):
        group = list(members)
        yield begin, group
        begin += sum(row.stop - row.start for row in group)


def _part(  # noqa: PLR0913, PLR0917 - what `Batch.of` was given
    group: list[Row],
    begin: int,
    width: int | None,
    block_size: int,
    heads: tuple[int, int],
    like: Tensor,
) -> Part:
    width = width or max(-(-row.stop // block_size) for row in group)
    end = begin + sum(row.stop - row.start for row in group)
    blocks = _tensor([block for row in group for block in _padded(row.blocks, width)], like)
    bias = _bias(group, width * block_size, heads, like)
    return Part(slice(begin, end), len(group), blocks, bias)


def _padded(blocks: Sequence[int], width: int) -> list[int]:
    """Blocks of the row itself: what they hold is masked, but no other sequence is touched."""
    return [*blocks[:width], *[blocks[0]] * (width - len(blocks))]


def _bias(group: list[Row], num_places: int, heads: tuple[int, int], like: Tensor) -> Tensor:
    """Each query sees the places up to its own."""
    kv_heads, sharing = heads
    own = torch.tensor([list(range(row.start, row.stop)) for row in group], device=like.device)
    ahead = torch.arange(num_places, device=like.device) > own.unsqueeze(-1)
    bias = torch.zeros(ahead.shape, dtype=like.dtype, device=like.device)
    bias.masked_fill_(ahead, -torch.inf)
    return bias.repeat(kv_heads, sharing, 1)


def _tensor(numbers: list[int], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64, device=like.device)
