"""Models of the Llama family by our own kernels: a step is one call."""

from __future__ import annotations

import ctypes
import weakref
from array import array
from typing import TYPE_CHECKING, Any

import torch

from inference.backends.memory import cleared
from inference.backends.native.weights import Weights
from inference.engine.runner import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from inference.backends.native.library import Kernels

__all__ = ["BLOCK_SIZE", "NativeRunner"]

BLOCK_SIZE = 32  # `kBlock` of the source


class NativeRunner:
    """Runs a model that `weights.fits` over blocks.

    What it computes for a sequence does not depend, to the last bit, on the other sequences of a
    step, on how a prompt is cut, or on what was cached.
    """

    def __init__(
        self, model: Any, kernels: Kernels, *, num_blocks: int, context_length: int
    ) -> None:
        """Quantize the weights and set the cache aside; the model can go afterwards."""
        config, attention = model.config, model.model.layers[0].self_attn
        self.num_blocks, self.block_size = num_blocks, BLOCK_SIZE
        kv_heads, head_size = config.num_key_value_heads, attention.head_dim
        shape = (num_blocks, config.num_hidden_layers, 2, kv_heads, BLOCK_SIZE, head_size)
        self._cache = cleared(shape, dtype=torch.bfloat16, device=torch.device("cpu"))
        self.cache_bytes = self._cache.nbytes
        # A copy: the file that it is mapped from can go with the rest of the model.
        self._embedding = model.get_input_embeddings().weight.detach().clone()
        self._kernels = kernels
        self._weights = weights = Weights()
        cos, sin = (weights.vector(table) for table in _rotations(model, context_length))
        self._handle = kernels.new(
            torch.get_num_threads(),
            *(config.num_hidden_layers, config.hidden_size, config.num_attention_heads, kv_heads),
            *(head_size, config.rms_norm_eps),
            *(self._embedding.data_ptr(), cos, sin, self._cache.data_ptr()),
        )
        weakref.finalize(self, kernels.delete, self._handle)
        for index, layer in enumerate(model.model.layers):
            kernels.set_layer(self._handle, index, ctypes.byref(weights.layer(layer)))
        head = weights.matrix([model.lm_head])
        kernels.set_head(self._handle, weights.vector(model.model.norm.weight), ctypes.byref(head))
        self.weight_bytes = weights.num_bytes + self._embedding.nbytes
        self._logits = torch.empty(1, config.vocab_size)

    def forward(self, rows: Sequence[Row]) -> Tensor:
        """Compute all rows together; the logits are overwritten by the next step."""
        shapes, tokens, blocks = array("i"), array("i"), array("i")
        num_deciding = 0
        for row in rows:
            shapes.extend((row.stop - row.start, row.start, row.wants_logits, len(blocks)))
            tokens.extend(row.tokens[row.start : row.stop])
            blocks.extend(row.blocks)
            num_deciding += row.wants_logits
        if num_deciding > len(self._logits):
            self._logits = torch.empty(num_deciding, self._logits.shape[1])
        addresses = (numbers.buffer_info()[0] for numbers in (shapes, tokens, blocks))
        self._kernels.step(self._handle, len(rows), *addresses, self._logits.data_ptr())
        return self._logits[:num_deciding]

    def warm_up(self) -> None:
        """Compute one token; its place in the cache is free again."""
        self.forward([Row(0, [0], 0, 1, [0])])


@torch.inference_mode()
def _rotations(model: Any, context_length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of each position, for half the dimensions: the other half has the same."""
    positions = torch.arange(context_length).unsqueeze(0)
    cos, sin = model.model.rotary_emb(torch.empty(0, dtype=torch.float32), positions)
    half = cos.shape[-1] // 2
    return cos[0, :, :half], sin[0, :, :half]
