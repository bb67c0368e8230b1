"""The runner that suits a model and a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.backends import llama
from inference.backends.cpu import StackChoice, choose_stacks
from inference.backends.matrices import Bits, Dense
from inference.backends.native import weights as native
from inference.backends.native.library import load_kernels
from inference.backends.native.runner import BLOCK_SIZE, NativeRunner
from inference.backends.transformers import TransformersRunner, UnsupportedModelError
from inference.models.card import Quantization
from inference.models.errors import ModelUnavailableError

if TYPE_CHECKING:
    import torch

    from inference.backends.native.library import Kernels
    from inference.engine.runner import Runner
    from inference.models.options import LoadOptions

__all__ = ["Prepared", "is_fused", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model made ready."""

    runner: Runner
    quantization: Quantization
    weight_bytes: int


def is_fused(config: Any) -> bool:
    """Whether the fused loop runs models of this configuration, quantizing them itself."""
    return llama.is_supported(config) and not getattr(config, "quantization_config", None)


def prepare(
    model: Any, options: LoadOptions, *, device: torch.device, context_length: int
) -> Prepared:
    """Choose the fused loop where it can, the model's own code otherwise.

    Raises:
        ModelUnavailableError: if the model does not run here.
    """
    if is_fused(model.config):
        prepared = _fused(model, options, device=device, context_length=context_length)
    else:
        prepared = _general(model, options)
    if prepared.runner.num_blocks == 0:
        raise ModelUnavailableError(
            f"VEDETTE_INFERENCE_CACHE_BYTES={options.cache_bytes} holds no single block; raise it"
        )
    # A first step outside the engine's thread: bitsandbytes repacks weights when they are first
    # used, and two threads must not do that at once.
    prepared.runner.warm_up()
    return prepared


def _fused(
    model: Any, options: LoadOptions, *, device: torch.device, context_length: int
) -> Prepared:
    block_bytes = llama.token_bytes(model) * BLOCK_SIZE
    num_blocks = min(
        options.cache_bytes // block_bytes,
        -(-options.max_running * context_length // BLOCK_SIZE),
    )
    if device.type == "cpu" and options.quantization == "auto" and native.fits(model):
        kernels = load_kernels(options.models_dir)
        if kernels is not None:
            return _native(model, kernels, num_blocks=num_blocks, context_length=context_length)
    stacks, quantization = _stacks(model, options.quantization, device)
    runner = llama.LlamaRunner(
        model,
        choose_stack=stacks,
        device=device,
        num_blocks=num_blocks,
        block_size=BLOCK_SIZE,
        context_length=context_length,
    )
    return Prepared(
        runner=runner,
        quantization=quantization,
        weight_bytes=stacks.num_bytes + model.get_input_embeddings().weight.nbytes,
    )


def _native(model: Any, kernels: Kernels, *, num_blocks: int, context_length: int) -> Prepared:
    runner = NativeRunner(model, kernels, num_blocks=num_blocks, context_length=context_length)
    return Prepared(runner=runner, quantization=Quantization.INT8, weight_bytes=runner.weight_bytes)


def _stacks(model: Any, wanted: str, device: torch.device) -> tuple[StackChoice, Quantization]:
    if wanted in ("nf4", "int8"):
        matrix = partial(Bits, device=device, bits=4 if wanted == "nf4" else 8)
        # The head stays as it is, as bitsandbytes' own recipe has it: it decides the token.
        stack = llama.read_stack(model, matrix, partial(Dense, device=device), device=device)
        return StackChoice(large=stack), Quantization(wanted)
    if device.type == "cpu":
        stacks = choose_stacks(model, may_quantize=wanted == "auto")
        return stacks, Quantization.INT4 if stacks.small_rows else Quantization.NONE
    dense = partial(Dense, device=device)
    stack = llama.read_stack(model, dense, dense, device=device)
    return StackChoice(large=stack), Quantization.NONE


def _general(model: Any, options: LoadOptions) -> Prepared:
    try:
        runner = TransformersRunner(
            model,
            cache_bytes=options.cache_bytes,
            max_tokens=options.max_running * options.max_context_length,
        )
    except UnsupportedModelError as error:
        raise ModelUnavailableError(
            f"models of type {model.config.model_type} do not run here: their state is not keys "
            "and values of every token"
        ) from error
    return Prepared(
        runner=runner,
        quantization=_quantization(model),
        weight_bytes=model.get_memory_footprint(),
    )


def _quantization(model: Any) -> Quantization:
    if getattr(model, "is_loaded_in_4bit", False):
        return Quantization.NF4
    if getattr(model, "is_loaded_in_8bit", False):
        return Quantization.INT8
    return Quantization.NONE
