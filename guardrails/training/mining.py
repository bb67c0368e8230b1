"""Hard negatives: harmless windows that a model of before takes for attacks, and a few others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime

from guardrails.classifier.checkpoints import Checkpoints
from guardrails.classifier.readable import readable

from .rows import HEADS, Row, moderation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from random import Random

    from tokenizers import Tokenizer


__all__ = ["Suspicion", "hard_windows", "suspicion"]

# How much each text looks like a planted order, to a model.
Suspicion = Callable[[Sequence[str]], Sequence[float]]

# Of the windows looked at, which part is kept for its score and which by lot.
_HARDEST: Final = 0.2
_BY_LOT: Final = 0.1
_SHORTEST: Final = 40
# Families of documents that may be about any topic; the others are technical.
_ON_ANYTHING: Final = frozenset(("articles", "comments"))


def suspicion(model: Path, tokenizer: Tokenizer) -> Suspicion:
    """The head `planted` of an exported model: four times as fast as the model that trains."""
    head = HEADS.index("planted")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def logit(text: str) -> float:
        tokens = np.array([tokenizer.encode(readable(text)).ids], dtype=np.int64)
        feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        return float(session.run(None, feed)[0][0, head])

    return lambda texts: [logit(text) for text in texts]


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
    if family not in _ON_ANYTHING:
        labels |= moderation()
    return Row(text=text, source=family, family="clean", labels=labels)
