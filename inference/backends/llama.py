"""Models of the Llama family in a few fused operations a layer.

The arithmetic is that of transformers' `LlamaForCausalLM`. What differs is what surrounds it: all
rows of a step go through each matrix together, keys and values are written straight into the
engine's blocks, and the matrices are in the form that is fastest for the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from inference.backends.batch import Batch
from inference.backends.matrices import Apart, Joined
from inference.backends.memory import cleared, running_out, writable
from inference.backends.replays import Replays
from inference.engine.runner import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from inference.backends.batch import Part
    from inference.backends.matrices import Gated, Matrix
    from inference.engine.runner import Array

__all__ = ["Layer", "LlamaRunner", "Shape", "Stack", "is_supported", "read_stack", "token_bytes"]

_FAMILY = frozenset({"llama", "mistral", "qwen2"})
_STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of a model."""

    heads: int
    kv_heads: int
    head_size: int
    epsilon: float

    @property
    def sharing(self) -> int:
        """Query heads that share a key-value head."""
        return self.heads // self.kv_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer's weights."""

    attention_norm: Tensor
    qkv: Matrix
    output: Matrix
    mlp_norm: Tensor
    gated: Gated
    down: Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """All matrices of a model in one form."""

    layers: tuple[Layer, ...]
    final_norm: Tensor
    head: Matrix

    @property
    def num_bytes(self) -> int:
        """Memory that the matrices take."""
        matrices = [m for a in self.layers for m in (a.qkv, a.output, a.gated, a.down)]
        return sum(matrix.num_bytes for matrix in [*matrices, self.head])


def is_supported(config: Any) -> bool:
    """Whether this loop computes models of this configuration."""
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in _FAMILY
        and getattr(config, "hidden_act", "") == "silu"
        and rope.get("rope_type", "default") in _STATIC_ROPE
        and not (getattr(config, "use_sliding_window", True) and _has_window(config))
    )


def _has_window(config: Any) -> bool:
    return getattr(config, "sliding_window", None) is not None


def token_bytes(model: Any) -> int:
    """Bytes of cache that one token takes."""
    config = model.config
    width = 2 * config.num_key_value_heads * _head_size(config)
    return int(config.num_hidden_layers * width * model.dtype.itemsize)


def read_stack(
    model: Any,
    matrix: Callable[..., Matrix],
    head: Callable[..., Matrix],
    *,
    device: torch.device | None = None,
    joined: bool = False,
) -> Stack:
    """The weights of a model of transformers, each matrix in the form that its maker makes.

    Args:
        model: a `*ForCausalLM`.
        matrix: makes a matrix from weights and biases.
        head: makes the last one.
        device: where the rest goes.
        joined: whether the gate and what it multiplies are one matrix.
    """
    layers = tuple(
        _read_layer(layer, matrix, device, joined=joined) for layer in model.model.layers
    )
    return Stack(
        layers=layers,
        final_norm=model.model.norm.weight.detach().to(device),
        head=head(model.lm_head.weight, model.lm_head.bias),
    )


def _read_layer(
    layer: Any, matrix: Callable[..., Matrix], device: torch.device | None, *, joined: bool
) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp

    def of(*parts: Any) -> Matrix:
        weights, biases = [part.weight for part in parts], [part.bias for part in parts]
        if len(parts) == 1:
            return matrix(weights[0], biases[0])
        return matrix(torch.cat(weights), None if biases[0] is None else torch.cat(biases))

    gate, up = mlp.gate_proj, mlp.up_proj
    return Layer(
        attention_norm=layer.input_layernorm.weight.detach().to(device),
        qkv=of(attention.q_proj, attention.k_proj, attention.v_proj),
        output=of(attention.o_proj),
        mlp_norm=layer.post_attention_layernorm.weight.detach().to(device),
        gated=Joined(of(gate, up)) if joined else Apart(of(gate), of(up)),
        down=of(mlp.down_proj),
    )


class LlamaRunner:
    """Runs a model of the Llama family over blocks."""

    def __init__(  # noqa: PLR0913 - a model, its matrices, and the cache's three sizes
        self,
        model: Any,
        *,
        choose_stack: Callable[[int], Stack],
        device: torch.device | None = None,
        num_blocks: int,
        block_size: int,
        context_length: int,
        replay: bool = False,
    ) -> None:
        """Set the cache aside.

        Args:
            model: the `*ForCausalLM` that the stacks were read from.
            choose_stack: the matrices to use for this number of rows.
            device: where to compute; the model's own device by default.
            num_blocks: blocks of cache.
            block_size: tokens in a block.
            context_length: positions that can occur.
            replay: whether steps that only decode are recorded and replayed.
        """
        config = model.config
        weight = model.model.embed_tokens.weight.detach().to(device)
        self._embedding = weight
        self._choose_stack = choose_stack
        self._shape = shape = Shape(
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=_head_size(config),
            epsilon=config.rms_norm_eps,
        )
        self._query_width = shape.heads * shape.head_size
        self._scale = shape.head_size**-0.5
        self._floor = torch.tensor(
            (config.hidden_size * shape.epsilon) ** 0.5, device=weight.device
        )
        self._unit = config.hidden_size**-0.5
        rotations = _rotations(model, context_length)
        self._cos, self._sin = (table.to(weight.device) for table in rotations)
        # Of replayed steps, the last block takes what pads them.
        self.num_blocks, self.block_size = num_blocks - replay, block_size
        # By layer, then keys and values by head, so that a head's places follow one another.
        places = num_blocks * block_size
        self._cache = cleared(
            (config.num_hidden_layers, 2 * shape.kv_heads, places, shape.head_size),
            dtype=weight.dtype,
            device=weight.device,
        )
        self.cache_bytes = self._cache.nbytes
        self._replays = (
            Replays(self._compute, arrange=self._arrange, spare_block=num_blocks - 1)
            if replay
            else None
        )

    @running_out()
    def forward(self, rows: Sequence[Row]) -> Array:
        """Compute all rows together."""
        return writable(self._forward(rows))

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Row]) -> Tensor:
        logits = self._replays.logits(rows) if self._replays else None
        return self._compute(self._arrange(rows)) if logits is None else logits

    def _arrange(self, rows: Sequence[Row], width: int | None = None) -> Batch:
        shape = self._shape
        return Batch.of(
            rows,
            block_size=self.block_size,
            heads=(shape.kv_heads, shape.sharing),
            like=self._embedding,
            width=width,
        )

    def _compute(self, batch: Batch) -> Tensor:
        shape = self._shape
        stack = self._choose_stack(batch.num_tokens)
        cos, sin = self._cos[batch.positions], self._sin[batch.positions]
        hidden = self._embedding[batch.tokens]
        for layer, cache in zip(stack.layers, self._cache, strict=True):
            qkv = layer.qkv(self._norm(hidden, layer.attention_norm))
            self._rotate(qkv, cos, sin)
            fresh = qkv[:, self._query_width :].view(-1, 2 * shape.kv_heads, shape.head_size)
            cache.index_copy_(1, batch.slots, fresh.transpose(0, 1))
            hidden = layer.output.plus(self._attend(qkv, cache, batch), hidden)
            x = self._norm(hidden, layer.mlp_norm)
            hidden = layer.down.plus(layer.gated(x), hidden)
        if batch.deciding.numel() == 0:
            return torch.empty(0)
        last = self._norm(hidden[batch.deciding], stack.final_norm)
        logits: Tensor = stack.head(last).float()
        return logits

    def warm_up(self) -> None:
        """Compute one token; its place in the cache is free again."""
        self.forward([Row(0, [0], 0, 1, [0])])

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm in half the time that `F.rms_norm` takes on a CPU.

        The length of a vector and the root of epsilon are the legs, the divisor the hypotenuse.
        """
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        length.hypot_(self._floor).mul_(self._unit)
        scaled: Tensor = torch.div(x, length, out=torch.empty_like(x)).mul_(weight)
        return scaled

    def _rotate(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> None:
        """Turn queries and keys by their positions, in place."""
        shape = self._shape
        num_heads = shape.heads + shape.kv_heads
        turned = qkv[:, : num_heads * shape.head_size].view(-1, num_heads, 2, shape.head_size // 2)
        swapped = turned.flip(2).mul_(sin)
        turned.mul_(cos).add_(swapped)

    def _attend(self, qkv: Tensor, cache: Tensor, batch: Batch) -> Tensor:
        """What each row's queries read from the keys and values of its sequence."""
        queries = qkv[:, : self._query_width]
        parts = [self._attend_part(queries[part.rows], cache, part) for part in batch.parts]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend_part(self, queries: Tensor, cache: Tensor, part: Part) -> Tensor:
        """Attention as two batched products, for a CPU twice as fast as the flash kernel.

        The query heads that share keys are passed as rows of one head.
        """
        shape = self._shape
        by_block = cache.view(2 * shape.kv_heads, -1, self.block_size * shape.head_size)
        gathered = by_block.index_select(1, part.blocks)
        keys, values = gathered.view(2, shape.kv_heads * part.num_sequences, -1, shape.head_size)
        split = (part.num_sequences, -1, shape.kv_heads, shape.sharing, shape.head_size)
        rows = queries.view(split).permute(2, 0, 3, 1, 4).reshape(len(keys), -1, shape.head_size)
        if len(queries) == 1:
            out = F.scaled_dot_product_attention(rows, keys, values, attn_mask=part.bias)
        else:
            scores = torch.baddbmm(part.bias, rows, keys.transpose(1, 2), alpha=self._scale)
            out = torch.bmm(torch.softmax(scores, dim=-1), values)
        merged = (shape.kv_heads, part.num_sequences, shape.sharing, -1, shape.head_size)
        return out.view(merged).permute(1, 3, 0, 2, 4).reshape(len(queries), -1)


def _head_size(config: Any) -> int:
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def _rotations(model: Any, context_length: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of each position, shaped to broadcast over the heads."""
    weight = model.model.embed_tokens.weight
    positions = torch.arange(context_length, device=weight.device).unsqueeze(0)
    with torch.inference_mode():
        cos, sin = model.model.rotary_emb(weight[:1].unsqueeze(0), positions)
    cos, sin = (t[0].view(context_length, 1, 2, -1).clone() for t in (cos, sin))
    sin[:, :, 0].neg_()
    return cos, sin
