"""How a model is to be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LoadOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How to load a model."""

    models_dir: Path
    allow_download: bool
    device: str
    quantization: str
    cuda_graphs: bool
    threads: int
    cache_bytes: int
    max_context_length: int
    max_new_tokens: int
    default_new_tokens: int
    max_running: int
