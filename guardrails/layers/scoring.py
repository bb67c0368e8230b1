"""From logits to scores from 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .spec import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["highest_scores"]


def highest_scores(
    logits: NDArray[np.float32], labels: Sequence[str], scale: Scale
) -> Mapping[str, float]:
    """The highest score of each label over stretches of one text; `logits` is stretches x labels.

    Raises:
        ValueError: if the shape is another, or a number is none.
    """
    if logits.ndim != 2 or logits.shape[1] != len(labels) or not np.isfinite(logits).all():
        raise ValueError("these are not the logits of a sequence classifier")
    values = logits.astype(np.float64)
    if scale is Scale.SIGMOID:
        scores = 1 / (1 + np.exp(-values))
    else:
        shifted = np.exp(values - values.max(axis=1, keepdims=True))
        scores = shifted / shifted.sum(axis=1, keepdims=True)
    return dict(zip(labels, scores.max(axis=0).tolist(), strict=True))
