"""Measures of detectors: thresholds at a false-positive budget, ranking, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["auprc", "auroc", "share_above", "threshold_at"]

_FEWEST_ROWS = 60


def threshold_at(
    budget: float, families: Mapping[str, Sequence[float]], *, slack: float = 2.0
) -> float:
    """The lowest threshold that keeps false positives within a budget.

    Over all families together at most `budget` score above it, and in each family that is
    large enough to tell at most `slack` times as many: a pooled figure hides a family that
    always fires. Families count alike, however many rows they have.
    """
    pooled = _weighted_quantile(families, 1 - budget)
    each = [
        float(np.quantile(np.asarray(scores), 1 - slack * budget, method="higher"))
        for scores in families.values()
        if len(scores) >= _FEWEST_ROWS and slack * budget < 1
    ]
    return max([pooled, *each])


def _weighted_quantile(families: Mapping[str, Sequence[float]], quantile: float) -> float:
    scores = np.concatenate([np.asarray(values, dtype=float) for values in families.values()])
    weights = np.concatenate(
        [np.full(len(values), 1 / max(len(values), _FEWEST_ROWS)) for values in families.values()]
    )
    order = np.argsort(scores)
    reached = np.cumsum(weights[order]) / weights.sum()
    at = int(np.searchsorted(reached, quantile))
    return float(scores[order][min(at, len(scores) - 1)])


def share_above(threshold: float, scores: Sequence[float]) -> float:
    """Which part of the scores crosses a threshold; not a number for none."""
    return float(np.mean(np.asarray(scores) > threshold)) if len(scores) else float("nan")


def auroc(scores: Sequence[float], labels: Sequence[float]) -> float:
    """The chance that a positive ranks above a negative; ties count half."""
    truth = np.asarray(labels) > 0
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = _ranks(np.asarray(scores, dtype=float))
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(scores: Sequence[float], labels: Sequence[float]) -> float:
    """Average precision."""
    truth = (np.asarray(labels) > 0)[np.argsort(-np.asarray(scores, dtype=float), kind="stable")]
    if not truth.any():
        return float("nan")
    precision = np.cumsum(truth) / np.arange(1, len(truth) + 1)
    return float(precision[truth].mean())


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return middle
