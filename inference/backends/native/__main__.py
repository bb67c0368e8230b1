"""Compile the kernels beside their source, for an image that will have no compiler."""

from __future__ import annotations

from pathlib import Path

from inference.backends.native.library import compile_kernels

if __name__ == "__main__":
    compile_kernels(Path(__file__).parent)
