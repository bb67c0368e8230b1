"""Tries AMX in this process: `python -m inference.backends.native.amx LIBRARY`.

Succeeds if the library's products by AMX have the same bits as those by VNNI, and take less time in
the shapes of a small model's matrices.
"""

from __future__ import annotations

import sys
from pathlib import Path

from inference.backends.native.library import Kernels

__all__ = ["is_worth_it"]

# Rows, outputs, inputs, inputs that share a scale: a batch, and a chunk of a prompt.
_SHAPES = ((32, 3072, 576, 192), (100, 576, 1536, 256))


def is_worth_it(kernels: Kernels) -> bool:
    """Whether AMX may be used here, is exact, and is faster."""
    return bool(kernels.allow_amx()) and all(0 < kernels.try_amx(*shape) < 1 for shape in _SHAPES)


if __name__ == "__main__":
    sys.exit(not is_worth_it(Kernels(Path(sys.argv[1]))))
