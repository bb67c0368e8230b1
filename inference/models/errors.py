"""Why a model cannot be served."""

from __future__ import annotations

__all__ = ["ModelUnavailableError"]


class ModelUnavailableError(Exception):
    """The model cannot be served; the text tells the operator why and what to do."""
