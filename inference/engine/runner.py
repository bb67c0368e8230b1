"""What computes: the engine's only view of models and devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Array", "Row", "Runner"]

# An array of numpy, or a tensor of torch on another device than the processor. What the engine
# does with it is in the Array API standard, which both follow.
Array: TypeAlias = Any


@dataclass(slots=True, frozen=True)
class Row:
    """A stretch of one sequence to compute in a step."""

    sequence_id: int
    tokens: Sequence[int]  # the whole sequence so far
    start: int  # tokens before this one are in the cache
    stop: int
    blocks: Sequence[int]  # where keys and values live; enough for `stop` tokens

    @property
    def wants_logits(self) -> bool:
        """Whether the token after this stretch is to be chosen now."""
        return self.stop == len(self.tokens)


class Runner(Protocol):
    """Computes steps. Belongs to the engine's thread."""

    num_blocks: int
    block_size: int
    cache_bytes: int

    def forward(self, rows: Sequence[Row]) -> Array:
        """Compute the rows and keep their keys and values.

        Returns:
            One line of float32 logits for each row that wants them, in the order of the rows. The
            engine may overwrite them; the next step may as well.

        Raises:
            MemoryError: if the device has too little memory for the step.
        """

    def warm_up(self) -> None:
        """Do once what the first step would otherwise do."""
