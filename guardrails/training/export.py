"""Exports the model as ONNX with INT8 weights, one scale a channel, and takes it back."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Final

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from .model import GuardModel

__all__ = ["dequantized", "export_int8"]

# The exporter numbers the matrices in the order of their use and drops their names.
_LAYER: Final = ("query", "key", "value", "attended", "wide", "narrow")
_NUMBERED: Final = re.compile(r"val_(\d+)_quantized")


def export_int8(model: GuardModel, path: Path) -> None:
    """Write the model; per-tensor weights would lose measurably, so scales are per channel."""
    whole = path.with_suffix(".fp32.onnx")
    ids = torch.ones(2, 16, dtype=torch.long)
    dynamic = {
        0: torch.export.Dim("texts", min=1, max=4096),
        1: torch.export.Dim("tokens", min=2, max=512),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (ids, torch.ones_like(ids)),
            str(whole),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(dynamic, dynamic),
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        quantize_dynamic(
            str(whole),
            str(path),
            per_channel=True,
            reduce_range=False,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )
    whole.unlink()


def dequantized(path: Path) -> dict[str, Tensor]:
    """The weights of an exported model of any shape, up to the rounding of its INT8 scales."""
    found = {
        each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer
    }

    def restored(name: str) -> Tensor:
        zero = torch.tensor(found[f"{name}_zero_point"]).float()
        scale = torch.tensor(found[f"{name}_scale"])
        return (torch.tensor(found[f"{name}_quantized"]).float() - zero) * scale

    numbers = sorted(int(match[1]) for match in map(_NUMBERED.fullmatch, found) if match)
    layers = (len(numbers) - 2) // len(_LAYER)
    names = [f"layers.{at}.{part}" for at in range(layers) for part in _LAYER]
    matrices = dict(zip(numbers, (*names, "evidence", "attention"), strict=True))
    weights = {
        f"{name}.weight": restored(f"val_{at}").T.contiguous() for at, name in matrices.items()
    }
    weights |= {name: restored(name) for name in ("words.weight", "positions.weight")}
    return weights | {
        name: torch.tensor(value)
        for name, value in found.items()
        if name.endswith((".bias", "norm.weight"))
    }
