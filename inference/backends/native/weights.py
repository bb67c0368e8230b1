"""Weights as the kernels read them: bytes with a step and a lowest value for each output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inference.backends.native.library import LayerWeights, MatrixWeights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["Weights", "fits"]

_PANEL = 16  # `kPanel` of the source
_AT_ONCE = 4096  # outputs that are quantized together, which bounds the memory it takes
_LARGEST_GROUP = 256


def fits(model: Any) -> bool:
    """Whether the kernels compute this model of the Llama family."""
    layer = model.model.layers[0]
    attention, mlp = layer.self_attn, layer.mlp
    widths = (attention.o_proj.in_features, mlp.down_proj.in_features, model.config.hidden_size)
    return (
        model.dtype is torch.bfloat16
        and attention.head_dim in (64, 128)
        and all(width % 64 == 0 for width in widths)
        and model.config.vocab_size % (2 * _PANEL) == 0
    )


class Weights:
    """All weights of a model; the structures made here point into memory that this object holds."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._held: list[Tensor] = []
        self.num_bytes = 0

    def layer(self, layer: Any) -> LayerWeights:
        """A layer of a model of transformers."""
        attention, mlp = layer.self_attn, layer.mlp
        return LayerWeights(
            self.vector(layer.input_layernorm.weight),
            self.vector(layer.post_attention_layernorm.weight),
            self.matrix([attention.q_proj, attention.k_proj, attention.v_proj]),
            self.matrix([attention.o_proj]),
            self.matrix([mlp.gate_proj, mlp.up_proj], by_turns=True),
            self.matrix([mlp.down_proj]),
        )

    def vector(self, values: Tensor) -> int:
        """The address of a copy in float32."""
        return self._hold(values.detach().to(torch.float32, copy=True).contiguous())

    def matrix(self, parts: Sequence[Any], *, by_turns: bool = False) -> MatrixWeights:
        """Linear modules as one, their outputs one after another or panel by panel in turn."""
        weight = _joined([part.weight.detach() for part in parts], by_turns=by_turns)
        biases = [part.bias for part in parts if part.bias is not None]
        bias = self.vector(_joined(biases, by_turns=by_turns)) if biases else None
        outputs, inputs = weight.shape
        packed = torch.empty(outputs // _PANEL, inputs // 4, _PANEL, 4, dtype=torch.uint8)
        step, low = torch.empty(outputs), torch.empty(outputs)
        for begin in range(0, outputs, _AT_ONCE):
            some = slice(begin, min(begin + _AT_ONCE, outputs))
            integers, step[some], low[some] = _quantized(weight[some])
            panels = integers.view(-1, _PANEL, inputs // 4, 4).transpose(1, 2)
            packed[some.start // _PANEL : some.stop // _PANEL] = panels
        addresses = (self._hold(packed), self._hold(step), self._hold(low), bias)
        return MatrixWeights(*addresses, outputs, inputs, _group(inputs))

    def _hold(self, values: Tensor) -> int:
        self._held.append(values)
        self.num_bytes += values.nbytes
        return values.data_ptr()


def _quantized(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Integers from 0 to 255, step and lowest value of each row."""
    weight = weight.to(torch.float32, copy=True)
    low, high = weight.aminmax(dim=1)
    step = ((high - low) / 255).clamp_min(torch.finfo(torch.float32).tiny)
    integers = weight.sub_(low.unsqueeze(1)).div_(step.unsqueeze(1)).round_().clamp_(0, 255)
    return integers.to(torch.uint8), step, low


def _joined(parts: list[Tensor], *, by_turns: bool) -> Tensor:
    if not by_turns:
        return parts[0] if len(parts) == 1 else torch.cat(parts)
    panels = [part.view(-1, _PANEL, *part.shape[1:]) for part in parts]
    return torch.stack(panels, dim=1).flatten(0, 2)


def _group(inputs: int) -> int:
    """How many inputs share a scale: as many as can, for speed, but not a whole wide row.

    Measured on SmolLM2, perplexity against bfloat16: +3.0 % with one scale a row, +1.3 % with
    groups of 192 and 256, +1.0 % with groups of 64.
    """
    return max(size for size in range(64, _LARGEST_GROUP + 1, 64) if inputs % size == 0)
