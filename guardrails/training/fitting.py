"""Fits the model: one pass or more over the rows, on one thread."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .batches import batches
from .rows import HEADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .batches import Batch, Encoded
    from .model import GuardModel

__all__ = ["FitSettings", "fit"]

_PLANTED = HEADS.index("planted")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How to train."""

    epochs: int = 1
    tokens_per_batch: int = 2560
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    warmup: float = 0.06
    token_weight: float = 0.5
    seed: int = 20261121


def fit(
    model: GuardModel,
    rows: Sequence[Encoded],
    settings: FitSettings,
    *,
    report: Callable[[str], None],
) -> None:
    """Train in place."""
    rng = Random(settings.seed)
    plan = [
        batch
        for _ in range(settings.epochs)
        for batch in batches(rows, tokens=settings.tokens_per_batch, rng=rng)
    ]
    optimizer = torch.optim.AdamW(_groups(model, settings), weight_decay=0.01, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step / max(1, len(plan)), settings.warmup)
    )
    model.words.requires_grad_(False)  # words that no row has keep their place among the others
    model.train()
    started, average = time.monotonic(), 0.0
    for step, batch in enumerate(plan):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = _loss(model, batch, settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        average = 0.97 * average + 0.03 * float(loss.detach())
        if step % 50 == 0:
            report(f"step {step}/{len(plan)} loss {average:.4f} {time.monotonic() - started:.0f} s")
    model.eval()


def _groups(model: GuardModel, settings: FitSettings) -> list[dict[str, object]]:
    heads = [*model.attention.parameters(), *model.evidence.parameters()]
    own = {id(parameter) for parameter in heads}
    words = {id(model.words.weight)}
    encoder = [each for each in model.parameters() if id(each) not in own | words]
    return [
        {"params": encoder, "lr": settings.encoder_rate},
        {"params": heads, "lr": settings.head_rate},
    ]


def _rate(progress: float, warmup: float) -> float:
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def _loss(model: GuardModel, batch: Batch, settings: FitSettings) -> torch.Tensor:
    logits, evidence = model.with_evidence(batch.ids, batch.mask)
    known = batch.labels >= 0
    each = functional.binary_cross_entropy_with_logits(
        logits.float(), batch.labels.clamp(min=0), reduction="none"
    )
    loss = (each * known).sum() / known.sum().clamp(min=1)
    marked = batch.inside >= 0
    if marked.any():
        token = functional.binary_cross_entropy_with_logits(
            evidence[:, :, _PLANTED].float(), batch.inside.clamp(min=0), reduction="none"
        )
        loss = loss + settings.token_weight * (token * marked).sum() / marked.sum()
    return loss
