"""A model of transformers made ready: the runner that suits it and its device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from inference.backends import llama, processors, weights
from inference.backends.cpu import StackChoice, choose_stacks
from inference.backends.matrices import Bits, Dense
from inference.backends.native import prepare as native
from inference.backends.native.library import load_kernels
from inference.backends.native.weights import fits, pack
from inference.backends.prepared import BLOCK_SIZE, Prepared, blocks_within, longest, no_room
from inference.backends.transformers import TransformersRunner, UnsupportedModelError
from inference.models.card import Quantization
from inference.models.errors import ModelUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from inference.models.options import LoadOptions

__all__ = ["prepare"]


def prepare(folder: Path, options: LoadOptions) -> Prepared:
    """Choose the fused loop where it can, the model's own code otherwise.

    Raises:
        ModelUnavailableError: if the model does not run here.
    """
    device = weights.choose_device(options.device)
    torch.set_num_threads(options.threads or processors.available())
    model = weights.read(folder, device=device, quantization=_bitsandbytes(options.quantization))
    if not weights.is_fused(model.config):
        return _general(model, options, device=device)
    if device.type == "cpu" and options.quantization == "auto" and fits(model):
        kernels = load_kernels(options.models_dir)
        if kernels is not None:
            packed = pack(model)
            native.keep(packed, folder, options)
            return native.ready(packed, kernels, options)
    return _fused(model, options, device=device)


def _fused(model: Any, options: LoadOptions, *, device: torch.device) -> Prepared:
    context_length = longest(options, model.config.max_position_embeddings)
    num_blocks = blocks_within(
        options, token_bytes=llama.token_bytes(model), context_length=context_length
    )
    stacks, quantization = _stacks(model, options.quantization, device)
    runner = llama.LlamaRunner(
        model,
        choose_stack=stacks,
        device=device,
        num_blocks=num_blocks,
        block_size=BLOCK_SIZE,
        context_length=context_length,
        replay=options.cuda_graphs and device.type == "cuda",
    )
    # A first step outside the engine's thread: bitsandbytes repacks weights when they are first
    # used, and two threads must not do that at once.
    runner.warm_up()
    return Prepared(
        runner=runner,
        quantization=quantization,
        device=str(device),
        weight_bytes=stacks.num_bytes + model.get_input_embeddings().weight.nbytes,
        parameters=model.num_parameters(),
        vocabulary_size=model.config.vocab_size,
        context_length=context_length,
    )


def _bitsandbytes(wanted: str) -> Quantization:
    """What bitsandbytes is to do; `auto` leaves the form of the weights to the runner."""
    return Quantization.NONE if wanted == "auto" else Quantization(wanted)


def _stacks(model: Any, wanted: str, device: torch.device) -> tuple[StackChoice, Quantization]:
    if wanted in ("nf4", "int8"):
        matrix = partial(Bits, device=device, bits=4 if wanted == "nf4" else 8)
        # The head stays as it is, as bitsandbytes' own recipe has it: it decides the token.
        dense = partial(Dense, device=device)
        stack = llama.read_stack(model, matrix, dense, device=device, joined=True)
        return StackChoice(large=stack), Quantization(wanted)
    if device.type == "cpu":
        stacks = choose_stacks(model, may_quantize=wanted == "auto")
        return stacks, Quantization.INT4 if stacks.small_rows else Quantization.NONE
    dense = partial(Dense, device=device)
    stack = llama.read_stack(model, dense, dense, device=device, joined=True)
    return StackChoice(large=stack), Quantization.NONE


def _general(model: Any, options: LoadOptions, *, device: torch.device) -> Prepared:
    positions = getattr(model.config, "max_position_embeddings", options.max_context_length)
    context_length = longest(options, positions)
    try:
        runner = TransformersRunner(
            model,
            cache_bytes=options.cache_bytes,
            max_tokens=options.max_running * context_length,
        )
    except UnsupportedModelError as error:
        raise ModelUnavailableError(
            f"models of type {model.config.model_type} do not run here: their state is not keys "
            "and values of every token"
        ) from error
    if runner.num_blocks == 0:
        raise no_room(options)
    return Prepared(
        runner=runner,
        quantization=_quantization(model),
        device=str(device),
        weight_bytes=model.get_memory_footprint(),
        parameters=model.num_parameters(),
        vocabulary_size=model.config.vocab_size,
        context_length=context_length,
    )


def _quantization(model: Any) -> Quantization:
    if getattr(model, "is_loaded_in_4bit", False):
        return Quantization.NF4
    if getattr(model, "is_loaded_in_8bit", False):
        return Quantization.INT8
    return Quantization.NONE
