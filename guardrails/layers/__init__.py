"""Larger models that a policy names: any sequence classifier, in ONNX or by transformers."""

from __future__ import annotations

from .shelf import Shelf
from .spec import ModelSpec, Runtime, Scale

__all__ = ["ModelSpec", "Runtime", "Scale", "Shelf"]
