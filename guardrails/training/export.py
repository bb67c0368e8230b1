"""Exports the model as ONNX with INT8 weights, one scale a channel."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

if TYPE_CHECKING:
    from pathlib import Path

    from .model import GuardModel

__all__ = ["export_int8"]


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
