"""The fastest matrices on this processor, found by trying.

With few rows a step is bound by reading weights from memory, so small weights win; with many it
is bound by arithmetic, so the form that multiplies fastest wins. Where one overtakes the other
depends on the processor: whether it has AMX or AVX-512, how fast its memory is. So both are timed
at start-up, and the form is chosen step by step by the number of rows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from inference.backends.llama import read_stack
from inference.backends.matrices import Dense, Int4, Int8, Packed

if TYPE_CHECKING:
    from torch import Tensor

    from inference.backends.llama import Stack

__all__ = ["StackChoice", "choose_stacks"]

_CANDIDATE_ROWS = (1, 4, 8)
_TRIALS = 5


class StackChoice:
    """Which matrices to use for how many rows."""

    def __init__(self, *, large: Stack, small: Stack | None = None, small_rows: int = 0) -> None:
        """Use `small` up to `small_rows` rows, `large` beyond."""
        self.small_rows = small_rows
        self._large = large
        self._small = small
        self.num_bytes = large.num_bytes + (small.num_bytes if small else 0)

    def __call__(self, num_rows: int) -> Stack:
        """The matrices for this many rows."""
        if self._small is not None and num_rows <= self.small_rows:
            return self._small
        return self._large


def choose_stacks(model: Any, *, may_quantize: bool) -> StackChoice:
    """Read the model's matrices in the forms that are worth having."""
    weight = model.model.layers[0].mlp.gate_proj.weight
    packed = Packed.is_available(weight.dtype)
    large = read_stack(model, Packed if packed else Dense, Packed if packed else Dense)
    if not (may_quantize and weight.dtype is torch.bfloat16 and _fits(model)):
        return StackChoice(large=large)
    small = read_stack(model, Int4, Int8)
    rows = _crossover(small, large, width=model.config.hidden_size)
    return (
        StackChoice(large=large, small=small, small_rows=rows) if rows else StackChoice(large=large)
    )


def _fits(model: Any) -> bool:
    layer = model.model.layers[0]
    parts = (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.o_proj)
    mlp = (layer.mlp.gate_proj, layer.mlp.down_proj)
    return all(Int4.fits(part.weight) for part in (*parts, *mlp))


@torch.inference_mode()
def _crossover(small: Stack, large: Stack, *, width: int) -> int:
    """The most rows with which the small matrices are faster; 0 if they never are."""
    best = 0
    for rows in _CANDIDATE_ROWS:
        x = torch.randn(rows, width).to(torch.bfloat16)
        # By turns, so that whatever else runs on this machine slows both.
        trials = [(_cost_s(small, x), _cost_s(large, x)) for _ in range(_TRIALS)]
        small_s, large_s = (min(times) for times in zip(*trials, strict=True))
        if small_s >= large_s:
            break
        best = rows
    return best


def _pass(stack: Stack, x: Tensor) -> None:
    """All the matrix products of a step."""
    for layer in stack.layers:
        layer.qkv(x)
        layer.output.plus(x, x)
        layer.down(layer.gated(x))
    stack.head(x)


def _cost_s(stack: Stack, x: Tensor) -> float:
    """Seconds of processor time for a pass, which other programs disturb less than the clock."""
    start_s = time.process_time()
    _pass(stack, x)
    return time.process_time() - start_s
