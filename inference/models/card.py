"""What is known about a model that this process serves."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["ModelCard", "Quantization"]


class Quantization(enum.Enum):
    """How weights are held in memory."""

    NONE = "none"
    NF4 = "nf4"
    INT8 = "int8"
    INT4 = "int4"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model, as its callers may know it."""

    name: str
    revision: str  # which weights exactly
    license: str  # SPDX identifier; empty if unknown
    quantization: Quantization
    context_length: int  # prompt and answer together
    max_new_tokens: int
    parameters: int
    weight_bytes: int
    cache_bytes: int
    device: str
    vocabulary_size: int
