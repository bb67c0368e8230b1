"""A model of transformers in memory, in the precision that is asked for."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from inference.backends import llama
from inference.models.card import Quantization
from inference.models.errors import ModelUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["choose_device", "is_fused", "read"]


def choose_device(wanted: str) -> torch.device:
    """The device that a setting names.

    Raises:
        ModelUnavailableError: if this machine does not have it.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelUnavailableError(
            f"VEDETTE_INFERENCE_DEVICE asks for {wanted}, and torch {torch.__version__} finds "
            f"{torch.cuda.device_count()} CUDA devices here; use cpu, or install torch with CUDA"
        )
    return device


def is_fused(config: Any) -> bool:
    """Whether the fused loop runs models of this configuration, quantizing them itself."""
    return llama.is_supported(config) and not getattr(config, "quantization_config", None)


def read(folder: Path, *, device: torch.device, quantization: Quantization) -> Any:
    """Load a model's weights.

    Raises:
        ModelUnavailableError: if the folder holds no causal language model, or one that is
            quantized already and another quantization is asked for.
    """
    _quieten_libraries()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if is_fused(config):
            # The fused loop quantizes by itself, matrix by matrix, on its way to the device.
            device, quantization = torch.device("cpu"), Quantization.NONE
        _refuse_double_quantization(config, folder, quantization)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.bfloat16,
            device_map={"": device},
            quantization_config=_bitsandbytes(quantization),
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailableError(
            f"{folder} cannot be loaded as a causal language model ({type(error).__name__}); "
            "a folder that transformers' AutoModelForCausalLM reads is needed"
        ) from error
    return model


def _refuse_double_quantization(config: Any, folder: Path, wanted: Quantization) -> None:
    if getattr(config, "quantization_config", None) and wanted is not Quantization.NONE:
        raise ModelUnavailableError(
            f"{folder} is quantized already; set VEDETTE_INFERENCE_QUANTIZATION=none"
        )


def _bitsandbytes(quantization: Quantization) -> BitsAndBytesConfig | None:
    if quantization is Quantization.NF4:
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    if quantization is Quantization.INT8:
        # Looking for outliers would synchronize the device at every layer.
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=True, llm_int8_threshold=0.0
        )
    return None


def _quieten_libraries() -> None:
    """No progress bars in logs, and no line for each layer of each step."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
