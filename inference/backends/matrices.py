"""A weight matrix in the form in which a processor multiplies by it fastest.

Each form computes `x @ w.T + bias`, and three products with what follows them in a transformer,
fused where the form can: `silu` of the product, the product `times` another, the product `plus`
another. None of them changes its arguments.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Apart", "Bits", "Dense", "Gated", "Int4", "Int8", "Joined", "Matrix", "Packed"]

_GROUP = 32


class Matrix(Protocol):
    """A matrix to multiply by."""

    num_bytes: int

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""

    def silu(self, x: Tensor) -> Tensor:
        """The SiLU of the product."""

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The product, element by element times another."""

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The product plus another."""


class _Unfused:
    """The three products for forms that fuse nothing."""

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def silu(self, x: Tensor) -> Tensor:
        return F.silu(self(x))

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        return self(x).mul_(other)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        return self(x).add_(other)


class Dense(_Unfused):
    """The weights as they are, on any device and in any precision."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, device: torch.device | None = None
    ) -> None:
        """Keep the weights, on this device if one is named."""
        self._weight = weight.detach().to(device)
        self._bias = None if bias is None else bias.detach().to(device)
        self.num_bytes = weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        return F.linear(x, self._weight, self._bias)


class Packed:
    """bfloat16 in oneDNN's own order, which `F.linear` would establish anew at every call.

    Measured on a 2-core Zen 5: 9 ms a step against 15 to 24 ms at 8 rows, see docs/log.md.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Reorder the weights."""
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())  # noqa: SLF001
        self._bias = None if bias is None else bias.detach()
        self._product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        self._fused = torch.ops.mkldnn._linear_pointwise.binary  # noqa: SLF001
        self.num_bytes = weight.nbytes

    @staticmethod
    def is_available(dtype: torch.dtype) -> bool:
        """Whether this processor multiplies bfloat16 by itself."""
        return dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        y: Tensor = self._product(x, self._weight, self._bias, "none", [], "")
        return y

    def silu(self, x: Tensor) -> Tensor:
        """The SiLU of the product."""
        y: Tensor = self._product(x, self._weight, self._bias, "swish", [], "")
        return y

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The product, element by element times another."""
        y: Tensor = self._fused(x, other, self._weight, self._bias, "mul")
        return y

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The product plus another."""
        y: Tensor = self._fused(x, other, self._weight, self._bias, "add")
        return y


class Int4(_Unfused):
    """4-bit integers with a scale and an offset for every 32 weights of a row.

    Weights that come from a Q4_1 file lie on such a grid already: their integers are found again
    exactly, and only scales and offsets are rounded, to bfloat16.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Quantize and pack; `Int4.fits` says whether the shape allows it."""
        rows, columns = weight.shape
        groups = weight.detach().float().view(rows, columns // _GROUP, _GROUP)
        low, high = groups.aminmax(dim=-1)
        step = ((high - low) / 15).clamp_min(torch.finfo(torch.float32).tiny)
        integers = ((groups - low.unsqueeze(-1)) / step.unsqueeze(-1)).round_().clamp_(0, 15)
        self._weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(  # noqa: SLF001
            integers.view(rows, columns).to(torch.int32), 2
        )
        # The kernel reads a weight as (integer - 8) * scale + offset.
        grid = torch.stack([step, low + 8 * step], dim=-1)
        self._grid = grid.transpose(0, 1).contiguous().to(torch.bfloat16)
        self._bias = None if bias is None else bias.detach()
        self.num_bytes = self._weight.nbytes + self._grid.nbytes

    @staticmethod
    def fits(weight: Tensor) -> bool:
        """Whether the kernel takes matrices of this shape."""
        rows, columns = weight.shape
        return rows % 16 == 0 and columns % _GROUP == 0

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(  # noqa: SLF001
            x, self._weight, _GROUP, self._grid
        )
        return y if self._bias is None else y.add_(self._bias)


class Int8(_Unfused):
    """8-bit integers with a scale for every row."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Quantize."""
        values = weight.detach().float()
        scale = values.abs().amax(dim=-1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self._weight = (values / scale.unsqueeze(-1)).round_().to(torch.int8)
        self._scale = scale.to(torch.bfloat16)
        self._bias = None if bias is None else bias.detach()
        self.num_bytes = self._weight.nbytes + self._scale.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        y = torch._weight_int8pack_mm(x, self._weight, self._scale)  # noqa: SLF001
        return y if self._bias is None else y.add_(self._bias)


class Bits(_Unfused):
    """bitsandbytes: NF4 in blocks of 64, or INT8 by row, on CUDA and on the CPU."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, device: torch.device, bits: int
    ) -> None:
        """Quantize on the device."""
        # Takes a second and is seldom wanted.
        from bitsandbytes import nn as bitsandbytes  # noqa: PLC0415

        # It would write a line for each product of each step.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        layers: Any = bitsandbytes

        rows, columns = weight.shape
        values = weight.detach().contiguous()
        module: torch.nn.Module
        if bits == 4:
            module = layers.Linear4bit(
                columns, rows, bias=False, compute_dtype=weight.dtype, quant_type="nf4"
            )
            module.weight = layers.Params4bit(
                values, requires_grad=False, quant_type="nf4", module=module
            )
        else:
            # Looking for outliers would synchronize the device at every product.
            module = layers.Linear8bitLt(
                columns, rows, bias=False, has_fp16_weights=False, threshold=0.0
            )
            module.weight = layers.Int8Params(values, requires_grad=False, has_fp16_weights=False)
        self._module = module.to(device).eval()
        self._bias = None if bias is None else bias.detach().to(device)
        self.num_bytes = rows * columns * bits // 8 + (
            4 * rows * columns // 64 if bits == 4 else 4 * rows
        )

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        y: Tensor = self._module(x)
        return y if self._bias is None else y.add_(self._bias)


class Gated(Protocol):
    """The first half of a feed-forward layer: the SiLU of one product times another."""

    num_bytes: int

    def __call__(self, x: Tensor) -> Tensor:
        """Both products and what joins them."""


class Apart:
    """By two matrices, for forms that fuse what follows a product."""

    def __init__(self, gate: Matrix, up: Matrix) -> None:
        """Keep them."""
        self._gate, self._up = gate, up
        self.num_bytes = gate.num_bytes + up.num_bytes

    def __call__(self, x: Tensor) -> Tensor:
        """The product of both."""
        return self._up.times(x, self._gate.silu(x))


class Joined:
    """By one matrix with the outputs of both, where a call costs more than a copy."""

    def __init__(self, gate_up: Matrix) -> None:
        """Keep it."""
        self._gate_up = gate_up
        self.num_bytes = gate_up.num_bytes

    def __call__(self, x: Tensor) -> Tensor:
        """The product of its halves."""
        gate, up = self._gate_up(x).chunk(2, dim=-1)
        return F.silu(gate).mul_(up)
