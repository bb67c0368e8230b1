"""From a model of transformers to what the kernels read.

A matrix is bytes with a step and a lowest value for each output, its outputs in panels. What goes
through one product is one matrix: queries, keys and values; the gate and what it multiplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inference.backends.native.packed import Numbers, Packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["fits", "pack"]

_PANEL = 16  # `kPanel` of the source
_AT_ONCE = 4096  # outputs that are quantized together, which bounds the memory it takes


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


def pack(model: Any) -> Packed:
    """A model that `fits`, packed; it can go afterwards."""
    config, rotary = model.config, model.model.rotary_emb
    numbers = Numbers(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=model.model.layers[0].self_attn.head_dim,
        epsilon=config.rms_norm_eps,
        rotation_scale=float(rotary.attention_scaling),
        vocabulary_size=config.vocab_size,
        max_positions=config.max_position_embeddings,
        parameters=model.num_parameters(),
    )
    arrays = {
        "embedding": _bits(model.get_input_embeddings().weight),
        "frequencies": _vector(rotary.inv_freq),
        "final_norm": _vector(model.model.norm.weight),
        **_matrix("head", [model.lm_head]),
    }
    for index, layer in enumerate(model.model.layers):
        arrays |= _layer(f"layers.{index}", layer)
    return Packed(numbers=numbers, arrays=arrays)


def _layer(name: str, layer: Any) -> dict[str, NDArray[np.generic]]:
    attention, mlp = layer.self_attn, layer.mlp
    return {
        f"{name}.attention_norm": _vector(layer.input_layernorm.weight),
        f"{name}.mlp_norm": _vector(layer.post_attention_layernorm.weight),
        **_matrix(f"{name}.qkv", [attention.q_proj, attention.k_proj, attention.v_proj]),
        **_matrix(f"{name}.output", [attention.o_proj]),
        **_matrix(f"{name}.gate_up", [mlp.gate_proj, mlp.up_proj], by_turns=True),
        **_matrix(f"{name}.down", [mlp.down_proj]),
    }


def _matrix(
    name: str, parts: Sequence[Any], *, by_turns: bool = False
) -> dict[str, NDArray[np.generic]]:
    """Linear modules as one, their outputs one after another or panel by panel in turn."""
    weight = _joined([part.weight.detach() for part in parts], by_turns=by_turns)
    outputs, inputs = weight.shape
    packed = torch.empty(outputs // _PANEL, inputs // 4, _PANEL, 4, dtype=torch.uint8)
    step, low = torch.empty(outputs), torch.empty(outputs)
    for begin in range(0, outputs, _AT_ONCE):
        some = slice(begin, min(begin + _AT_ONCE, outputs))
        integers, step[some], low[some] = _quantized(weight[some])
        panels = integers.view(-1, _PANEL, inputs // 4, 4).transpose(1, 2)
        packed[some.start // _PANEL : some.stop // _PANEL] = panels
    arrays = {f"{name}.weights": packed.numpy(), f"{name}.step": step.numpy()}
    arrays[f"{name}.low"] = low.numpy()
    biases = [part.bias for part in parts if part.bias is not None]
    if biases:
        arrays[f"{name}.bias"] = _vector(_joined(biases, by_turns=by_turns))
    return arrays


def _vector(values: Tensor) -> NDArray[np.generic]:
    """A copy in float32."""
    copied: NDArray[np.generic] = values.detach().to(torch.float32, copy=True).contiguous().numpy()
    return copied


def _bits(values: Tensor) -> NDArray[np.generic]:
    """A copy in bfloat16, which numpy knows as bits only."""
    bits: NDArray[np.generic] = values.detach().clone().view(torch.uint16).numpy()
    return bits


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
