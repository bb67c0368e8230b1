"""Fits the model in bfloat16 over float32 weights; a run that was cut off goes on where it was.

With a teacher, what no label says is learned from it, and where it agrees with a label both count
alike; where it does not, the label alone counts. The student's last hidden states also follow the
teacher's, as in TinyBERT (arXiv:1909.10351): they say of each token what labels say of a text.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .batches import batches
from .rows import HEADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from .batches import Batch, Encoded
    from .model import GuardModel, Reading

__all__ = ["FitSettings", "fit", "label_loss"]

_PLANTED = HEADS.index("planted")
# How far from a label the teacher may be before only the label counts.
_AGREED = 0.5
# How much the teacher's word counts where there is no label, beside one of a label.
_UNKNOWN = 0.3
# How much the tokens of planted orders count beside whole texts.
_TOKEN_WEIGHT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How to train.

    The word embeddings never train: words that no row has keep their place among the others.
    The result is the running mean of the weights, of which each step is `1 - averaged`.
    `hidden_weight` is that of the teacher's hidden states, whose mean square counts as one.
    """

    epochs: int = 1
    tokens_per_batch: int = 2560
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    warmup: float = 0.06
    hidden_weight: float = 1.0
    averaged: float = 0.99
    seed: int = 20261121
    save_every: int = 50


def fit(  # noqa: PLR0913 - what training depends on
    model: GuardModel,
    rows: Sequence[Encoded],
    settings: FitSettings,
    *,
    saved: Path,
    report: Callable[[str], None],
    teacher: GuardModel | None = None,
) -> None:
    """Train in place; `saved` keeps the state every few steps; there a cut-off run goes on.

    The weights that step are float32; forward and backward run on a bfloat16 copy of them, which
    is about a tenth faster on a CPU than autocast, whose casts this saves.
    """
    rng = Random(settings.seed)
    plan = [
        batch
        for _ in range(settings.epochs)
        for batch in batches(rows, tokens=settings.tokens_per_batch, rng=rng)
    ]
    tokens = sum(batch.ids.numel() for batch in plan)
    report(f"{len(plan)} steps, {tokens} tokens with padding")
    run = _Run(model, settings, steps=len(plan), teacher=teacher)
    if saved.exists():
        run.load(torch.load(saved, weights_only=True))
        report(f"goes on at step {run.step}")
    started = time.monotonic()
    first, done = run.step, 0
    for batch in plan[run.step :]:
        run.train(batch)
        done += batch.ids.numel()
        if run.step % settings.save_every == 0:
            torch.save(run.state(), saved)
            report(
                f"step {run.step}/{len(plan)} loss {run.loss:.4f} "
                f"{done / (time.monotonic() - started):.0f} tokens/s since step {first}"
            )
    run.finish()


class _Run:
    """Live weights in bfloat16, their float32 masters, and the running mean of those."""

    def __init__(
        self, model: GuardModel, settings: FitSettings, *, steps: int, teacher: GuardModel | None
    ) -> None:
        self.step, self.loss = 0, 0.0
        self._model, self._settings = model, settings
        self._teacher = copy.deepcopy(teacher).to(torch.bfloat16) if teacher is not None else None
        model.words.requires_grad_(False)
        heads = {id(p) for part in (model.attention, model.evidence) for p in part.parameters()}
        self._live: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self._masters = [p.detach().clone().requires_grad_() for p in self._live]
        self._means = [p.detach().clone() for p in self._masters]
        groups: dict[bool, list[Tensor]] = {True: [], False: []}
        for live, master in zip(self._live, self._masters, strict=True):
            groups[id(live) in heads].append(master)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": groups[False], "lr": settings.encoder_rate},
                {"params": groups[True], "lr": settings.head_rate},
            ],
            weight_decay=0.01,
            fused=True,
        )
        self._rates = [settings.encoder_rate, settings.head_rate]
        self._steps = steps
        self._frozen = {name: p.detach().clone() for name, p in model.named_parameters()}
        model.to(torch.bfloat16)
        model.train()

    def train(self, batch: Batch) -> None:
        """One step."""
        rate = _rate(self.step / max(1, self._steps), self._settings.warmup)
        for group, highest in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = highest * rate
        loss = (
            label_loss(self._model, batch)
            if self._teacher is None
            else _taught_loss(
                self._model, batch, self._teacher, hidden_weight=self._settings.hidden_weight
            )
        )
        loss.backward()  # type: ignore[no-untyped-call]
        for master, live in zip(self._masters, self._live, strict=True):
            master.grad = live.grad.float() if live.grad is not None else None
            live.grad = None
        torch.nn.utils.clip_grad_norm_(self._masters, 1.0)
        self._optimizer.step()
        self.step += 1
        with torch.no_grad():
            weight = max(1 - self._settings.averaged, 1 / self.step)
            torch._foreach_lerp_(self._means, self._masters, weight)
            torch._foreach_copy_(self._live, self._masters)
        self.loss += max(0.03, 1 / self.step) * (float(loss.detach()) - self.loss)

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on."""
        return {
            "step": self.step,
            "masters": [each.detach() for each in self._masters],
            "means": self._means,
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.step, self._means = state["step"], state["means"]
        self._optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            torch._foreach_copy_(self._masters, state["masters"])
            torch._foreach_copy_(self._live, self._masters)

    def finish(self) -> None:
        """Leave the mean weights in the model, in float32."""
        self._model.to(torch.float32)
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(self._frozen[name])
            torch._foreach_copy_(self._live, self._means)
        self._model.eval()


def _rate(progress: float, warmup: float) -> float:
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def label_loss(model: GuardModel, batch: Batch) -> Tensor:
    """Cross-entropy of what is known of the texts, and of the tokens of planted orders."""
    known = batch.labels >= 0
    return _loss(model.read(batch.ids, batch.mask), batch, batch.labels.clamp(min=0), known)


def _taught_loss(
    model: GuardModel, batch: Batch, teacher: GuardModel, *, hidden_weight: float
) -> Tensor:
    """The same with what a teacher thinks, and how far its last hidden states are."""
    with torch.no_grad():
        told = teacher.read(batch.ids, batch.mask)
    reading = model.read(batch.ids, batch.mask)
    loss = _loss(reading, batch, *_told(batch.labels, torch.sigmoid(told.logits.float())))
    apart = (reading.hidden - told.hidden).float().square().mean(dim=2) * batch.mask
    size = told.hidden.float().square().mean(dim=2) * batch.mask
    return loss + hidden_weight * apart.sum() / size.sum()


def _loss(reading: Reading, batch: Batch, wanted: Tensor, weight: Tensor) -> Tensor:
    each = _cross_entropy(reading.logits, wanted)
    loss = (each * weight).sum() / weight.sum().clamp(min=1)
    marked = batch.inside >= 0
    if marked.any():
        token = _cross_entropy(reading.evidence[:, :, _PLANTED], batch.inside.clamp(min=0))
        loss = loss + _TOKEN_WEIGHT * (token * marked).sum() / marked.sum()
    return loss


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")


def _told(labels: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
    """What to learn, and how much it counts: labels, and what the teacher thinks."""
    known = labels >= 0
    agreed = known & ((labels - taught).abs() < _AGREED)
    wanted = torch.where(known, labels, taught)
    return torch.where(agreed, (labels + taught) / 2, wanted), torch.where(known, 1.0, _UNKNOWN)
