"""Fits the linear model over hashed runs; a minute on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from guardrails.classifier.ngrams import SLOTS, NgramModel, features
from guardrails.classifier.readable import readable

from .rows import INJECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .rows import Row

__all__ = ["fit_ngrams"]

# How much a logit counts beside the encoder's. Topics are left out: there it ranked worse.
_WEIGHTS: Final = {"direct": 1.5, "planted": 0.6}
_BATCH: Final = 1024
_RATE: Final = 0.03
# Labels this sure keep the logits of phrases seen often from outweighing all else.
_SURE: Final = 0.96


def fit_ngrams(
    rows: Sequence[Row], *, seed: int, report: Callable[[str], None], epochs: int = 3
) -> NgramModel:
    """Logistic regression of both injection heads, over the rows in which either is known."""
    rows = [row for row in rows if any(head in row.labels for head in INJECTION)]
    rng = torch.Generator().manual_seed(seed)
    read = [features(readable(row.text)) for row in rows]
    labels = torch.tensor([[row.labels.get(head, -1.0) for head in INJECTION] for row in rows])
    table = torch.zeros(2 * SLOTS, len(INJECTION), requires_grad=True)
    bias = torch.zeros(len(INJECTION), requires_grad=True)
    optimizer = torch.optim.Adam([table, bias], lr=_RATE, fused=True)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.split(torch.randperm(len(rows), generator=rng), _BATCH):
            logits = _logits([read[at] for at in chosen.tolist()], table) + bias
            wanted = labels[chosen]
            smoothed = _SURE * wanted.clamp(min=0) + (1 - _SURE) / 2
            each = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
            loss = (each * (wanted >= 0)).sum() / len(chosen)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(chosen)
        report(f"n-grams, pass {epoch}: loss {total / len(rows):.4f}")
    return _quantized(table.detach().numpy(), bias.detach().numpy())


def _logits(read: Sequence[tuple[np.ndarray, np.ndarray]], table: torch.Tensor) -> torch.Tensor:
    slots = [kind for each in read for kind in each]
    weights = [np.full(len(kind), max(1, len(kind)) ** -0.5, dtype=np.float32) for kind in slots]
    offsets = np.cumsum([0, *(len(kind) for kind in slots)])[:-2:2]
    return functional.embedding_bag(
        torch.from_numpy(np.concatenate(slots)),
        table,
        torch.from_numpy(offsets),
        mode="sum",
        per_sample_weights=torch.from_numpy(np.concatenate(weights)),
    )


def _quantized(table: np.ndarray, bias: np.ndarray) -> NgramModel:
    scale = (np.quantile(np.abs(table), 0.9999, axis=0) / 127).astype(np.float32)
    rounded = np.clip(np.round(table / scale), -127, 127).astype(np.int8)
    weights = np.array([_WEIGHTS[head] for head in INJECTION], dtype=np.float32)
    return NgramModel(rounded, scale * weights, bias.astype(np.float32) * weights)
