"""Models for our own kernels: packed once, and from then on read without torch.

A packed model lies in the cache under a key of the files it was made from and of the code that
made it, so it is made anew when either changes.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from inference.backends import processors
from inference.backends.native import packed
from inference.backends.native.library import load_kernels
from inference.backends.native.runner import NativeRunner
from inference.backends.prepared import Prepared, blocks_within, longest
from inference.models.cache import CacheEntry
from inference.models.card import Quantization

if TYPE_CHECKING:
    from inference.backends.native.library import Kernels
    from inference.backends.native.packed import Packed
    from inference.models.options import LoadOptions

__all__ = ["is_wanted", "keep", "prepare", "ready"]

_SOURCES = [Path(__file__).with_name(name) for name in ("packed.py", "weights.py")]
_MODEL_FILES = ("config.json", "*.safetensors")


def is_wanted(options: LoadOptions) -> bool:
    """Whether the settings let the kernels compute."""
    on_cpu = options.device == "cpu" or (options.device == "auto" and not _has_cuda_driver())
    return on_cpu and options.quantization == "auto"


def prepare(folder: Path, options: LoadOptions) -> Prepared | None:
    """Ready a model that was packed before; None if it was not, or is not for the kernels.

    Raises:
        ModelUnavailableError: if there is too little memory for its cache.
    """
    entry = _entry(folder, options)
    if not (is_wanted(options) and entry.is_complete):
        return None
    kernels = load_kernels(options.models_dir)
    if kernels is None:
        return None
    try:
        return ready(packed.read(entry.use()), kernels, options)
    except packed.DamagedError:
        logging.getLogger(__name__).warning("%s is damaged and is made anew", entry.path)
        entry.discard()
        return None


def keep(model: Packed, folder: Path, options: LoadOptions) -> None:
    """Save a packed model for the next start."""
    try:
        _entry(folder, options).obtain(lambda unfinished: packed.save(model, unfinished))
    except OSError as error:
        logging.getLogger(__name__).warning(
            "%s takes no packed model, so every start packs it: %s",
            options.models_dir,
            type(error).__name__,
        )


def ready(model: Packed, kernels: Kernels, options: LoadOptions) -> Prepared:
    """A runner for a packed model.

    Raises:
        ModelUnavailableError: if there is too little memory for its cache.
    """
    numbers = model.numbers
    context_length = longest(options, numbers.max_positions)
    runner = NativeRunner(
        model,
        kernels,
        num_blocks=blocks_within(
            options, token_bytes=numbers.token_bytes, context_length=context_length
        ),
        context_length=context_length,
        threads=options.threads or processors.available(),
    )
    runner.warm_up()
    return Prepared(
        runner=runner,
        quantization=Quantization.INT8,
        device="cpu",
        weight_bytes=model.num_bytes,
        parameters=numbers.parameters,
        vocabulary_size=numbers.vocabulary_size,
        context_length=context_length,
    )


def _entry(folder: Path, options: LoadOptions) -> CacheEntry:
    key = hashlib.sha256()
    for source in _SOURCES:
        key.update(source.read_bytes())
    for file in sorted(file for pattern in _MODEL_FILES for file in folder.glob(pattern)):
        about = file.stat()
        key.update(f"{file.resolve()} {about.st_size} {about.st_mtime_ns}\n".encode())
    return CacheEntry(options.models_dir / f"packed-{key.hexdigest()[:16]}")


def _has_cuda_driver() -> bool:
    """Whether torch could find a GPU here, without asking torch."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
