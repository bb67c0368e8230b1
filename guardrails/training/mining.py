"""Hard negatives: harmless windows that a model of before takes for attacks, and a few others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import torch

from guardrails.classifier.checkpoints import Checkpoints

from .batches import padded, unlabelled
from .rows import HEADS, Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tokenizers import Tokenizer

    from .model import GuardModel

__all__ = ["Suspicion", "hard_windows", "suspicion"]

# How much each text looks like a planted order, to a model.
Suspicion = Callable[[Sequence[str]], Sequence[float]]

# Of the windows looked at, which part is kept for its score and which by lot.
_HARDEST: Final = 0.2
_BY_LOT: Final = 0.1
_SHORTEST: Final = 40
_BATCH: Final = 64


def suspicion(model: GuardModel, tokenizer: Tokenizer) -> Suspicion:
    """The head `planted` of a model."""
    head = HEADS.index("planted")

    def logits(texts: Sequence[str]) -> list[float]:
        read = unlabelled(texts, tokenizer)
        order = sorted(range(len(read)), key=lambda at: len(read[at].ids))
        found = [0.0] * len(read)
        for first in range(0, len(order), _BATCH):
            chosen = order[first : first + _BATCH]
            batch = padded([read[at] for at in chosen])
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                scores = model(batch.ids, batch.mask)[:, head].float().tolist()
            for at, score in zip(chosen, scores, strict=True):
                found[at] = score
        return found

    return logits


def hard_windows(
    documents: Mapping[str, Sequence[str]],
    suspicion: Suspicion,
    *,
    each: int,
    rng: Random,
) -> list[Row]:
    """Windows of clean documents, mostly those that score highest.

    Args:
        documents: clean texts by family.
        suspicion: how much windows look like planted orders.
        each: how many windows of a family are looked at.
        rng: picks them.
    """
    kept = []
    for family, texts in documents.items():
        windows = _windows(texts, each, rng)
        order = sorted(zip(suspicion(windows), windows, strict=True), reverse=True)
        ranked = [window for _, window in order]
        hardest = int(len(ranked) * _HARDEST)
        lot = rng.sample(ranked[hardest:], int(len(ranked) * _BY_LOT))
        kept += [_clean(window, family) for window in ranked[:hardest] + lot]
    return kept


def _windows(texts: Sequence[str], count: int, rng: Random) -> list[str]:
    checkpoints, found = Checkpoints(), []
    for text in rng.sample(list(texts), len(texts)):
        cuts = checkpoints.cuts(text)
        for cut in rng.sample(cuts, min(len(cuts), max(2, 2 * count // len(texts)))):
            window = text[cut.start : cut.end].strip()
            if len(window) >= _SHORTEST:
                found.append(window)
        if len(found) >= count:
            break
    return found[:count]


def _clean(text: str, family: str) -> Row:
    labels = {"planted": 0.0, "direct": 0.0}
    return Row(text=text, source=family, family="clean", labels=labels)
