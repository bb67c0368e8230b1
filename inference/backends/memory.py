"""Memory of runners: what costs nothing until it is used, and what happens when there is none."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from inference.backends.pages import pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from inference.engine.runner import Array

__all__ = ["cleared", "running_out", "writable"]


def cleared(shape: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on a CPU in pages that the system provides when they are first touched."""
    if device.type != "cpu" or not math.prod(shape):
        return torch.zeros(*shape, dtype=dtype, device=device)
    memory = pages(math.prod(shape) * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype).view(*shape)


@contextmanager
def running_out() -> Iterator[None]:
    """Say by Python's own MemoryError that a device has too little memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError from error


def writable(logits: Tensor) -> Array:
    """Lines that whoever gets them may overwrite, made in inference mode or not."""
    return logits.numpy() if logits.device.type == "cpu" else logits.clone()
