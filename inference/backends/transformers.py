"""Any causal language model of transformers, by its own model code: slower, but correct.

Rows are computed one after another. Keys and values live in the engine's blocks between steps, so
prefixes are shared and preemption works as everywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from inference.backends.memory import running_out, writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from inference.engine.runner import Array, Row

__all__ = ["TransformersRunner", "UnsupportedModelError"]


class UnsupportedModelError(Exception):
    """This model keeps a state that is not keys and values of every token."""


class TransformersRunner:
    """Runs a model of transformers over blocks."""

    def __init__(
        self, model: Any, *, cache_bytes: int, block_size: int = 32, max_tokens: int | None = None
    ) -> None:
        """Set the cache aside and compute one token, which also warms up.

        Args:
            model: an `AutoModelForCausalLM`, on its device, in evaluation mode.
            cache_bytes: bytes for keys and values.
            block_size: tokens in a block.
            max_tokens: no more cache than this many tokens need.

        Raises:
            UnsupportedModelError: if the model's cache is not plain keys and values.
        """
        self._model = model
        self._device = model.device
        shapes = self._probe()
        token_bytes = sum(2 * heads * size * dtype.itemsize for heads, size, dtype in shapes)
        self.block_size = block_size
        self.num_blocks = cache_bytes // (token_bytes * block_size)
        if max_tokens is not None:
            self.num_blocks = min(self.num_blocks, -(-max_tokens // block_size))
        self.cache_bytes = self.num_blocks * token_bytes * block_size
        slots = self.num_blocks * block_size
        self._keys, self._values = (
            [torch.empty(slots, h, d, dtype=t, device=self._device) for h, d, t in shapes]
            for _ in range(2)
        )

    @running_out()
    def forward(self, rows: Sequence[Row]) -> Array:
        """Compute the rows one by one."""
        lines = [self._forward_one(row) for row in rows]
        wanted = [line for line, row in zip(lines, rows, strict=True) if row.wants_logits]
        return writable(torch.cat(wanted) if wanted else torch.empty(0))

    def warm_up(self) -> None:
        """Nothing is left to do: looking at the cache's shape was a first step."""

    @torch.inference_mode()
    def _forward_one(self, row: Row) -> Tensor:
        slots = self._slots(row)
        cache = DynamicCache()
        if row.start:
            for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
                past = slots[: row.start]
                cache.update(_by_head(keys[past]), _by_head(values[past]), layer)
        output = self._model(
            input_ids=self._tensor(row.tokens[row.start : row.stop]).unsqueeze(0),
            position_ids=torch.arange(row.start, row.stop, device=self._device).unsqueeze(0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        fresh = slots[row.start :]
        kept: Any
        for layer, kept in enumerate(cache.layers):
            self._keys[layer][fresh] = kept.keys[0, :, row.start :].transpose(0, 1)
            self._values[layer][fresh] = kept.values[0, :, row.start :].transpose(0, 1)
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _slots(self, row: Row) -> Tensor:
        """Where each token of the row's sequence lives."""
        starts = self._tensor(row.blocks).unsqueeze(1) * self.block_size
        offsets = torch.arange(self.block_size, device=self._device)
        return (starts + offsets).flatten()[: row.stop]

    def _tensor(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, device=self._device)

    @torch.inference_mode()
    def _probe(self) -> list[tuple[int, int, torch.dtype]]:
        """Heads, head size and type of each layer's keys and values."""
        cache = DynamicCache()
        try:
            self._model(input_ids=self._tensor([0]).unsqueeze(0), past_key_values=cache)
            layers: list[Any] = cache.layers
            kept = [(layer.keys, layer.values) for layer in layers]
            if not kept or any(k.shape != v.shape or k.shape[2] != 1 for k, v in kept):
                raise UnsupportedModelError
        except (AttributeError, TypeError) as error:
            raise UnsupportedModelError from error
        return [(keys.shape[1], keys.shape[3], keys.dtype) for keys, _ in kept]


def _by_head(past: Tensor) -> Tensor:
    return past.transpose(0, 1).unsqueeze(0)
