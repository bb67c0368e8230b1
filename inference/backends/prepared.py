"""A model made ready to compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.models.errors import ModelUnavailableError

if TYPE_CHECKING:
    from inference.engine.runner import Runner
    from inference.models.card import Quantization
    from inference.models.options import LoadOptions

__all__ = ["BLOCK_SIZE", "Prepared", "blocks_within", "longest", "no_room"]

BLOCK_SIZE = 32  # tokens in a block of keys and values


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A runner, and what is known of the model that it runs."""

    runner: Runner
    quantization: Quantization
    device: str
    weight_bytes: int
    parameters: int
    vocabulary_size: int
    context_length: int


def longest(options: LoadOptions, max_positions: int) -> int:
    """Tokens of prompt and answer together, as the model and the settings allow."""
    return min(max_positions, options.max_context_length)


def blocks_within(options: LoadOptions, *, token_bytes: int, context_length: int) -> int:
    """How many blocks the settings allow, but no more than can be used.

    Raises:
        ModelUnavailableError: if not even one.
    """
    allowed = options.cache_bytes // (token_bytes * BLOCK_SIZE)
    if allowed == 0:
        raise no_room(options)
    return min(allowed, -(-options.max_running * context_length // BLOCK_SIZE))


def no_room(options: LoadOptions) -> ModelUnavailableError:
    """What to raise when the settings do not allow a single block."""
    return ModelUnavailableError(
        f"VEDETTE_INFERENCE_CACHE_BYTES={options.cache_bytes} holds no single block; raise it"
    )
