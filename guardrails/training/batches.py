"""Rows as token batches of similar length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from guardrails.classifier.readable import readable

from .rows import HEADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tokenizers import Tokenizer
    from torch import Tensor

    from .rows import Row

__all__ = ["Batch", "Encoded", "batches", "encode"]

MAX_TOKENS: Final = 128
_PLANTED: Final = HEADS.index("planted")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, labels by head (-1 unknown), and which tokens are the payload (None unknown)."""

    ids: list[int]
    labels: list[float]
    inside: list[float] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded tensors."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    inside: Tensor


def encode(rows: Sequence[Row], tokenizer: Tokenizer) -> list[Encoded]:
    """Tokens and labels, in the order of the rows."""
    texts = [readable(row.text) for row in rows]
    encodings = tokenizer.encode_batch(texts)
    out = []
    for row, text, encoding in zip(rows, texts, encodings, strict=True):
        labels = [row.labels.get(head, -1.0) for head in HEADS]
        inside = None
        payload = readable(row.payload)
        at = text.find(payload) if payload else -1
        if at >= 0:
            end = at + len(payload)
            inside = [float(at <= a and b <= end and b > a) for a, b in encoding.offsets]
        elif row.labels.get("planted") == 0.0:
            inside = [0.0] * len(encoding.ids)
        out.append(Encoded(encoding.ids, labels, inside))
    return out


def batches(rows: Sequence[Encoded], *, tokens: int, rng: Random) -> Iterator[Batch]:
    """Every row once, shuffled, grouped so that little is padding."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at].ids) + rng.random() * 2)
    groups: list[list[int]] = [[]]
    for at in order:
        group = groups[-1]
        if group and (len(group) + 1) * len(rows[at].ids) > tokens:
            groups.append([at])
        else:
            group.append(at)
    rng.shuffle(groups)
    for group in groups:
        yield _padded([rows[at] for at in group])


def _padded(rows: Sequence[Encoded]) -> Batch:
    """One batch of all the rows."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    inside = torch.full((len(rows), longest), -1.0)
    for at, row in enumerate(rows):
        length = len(row.ids)
        ids[at, :length] = torch.tensor(row.ids)
        mask[at, :length] = 1
        if row.inside is not None:
            inside[at, :length] = torch.tensor(row.inside)
    return Batch(ids, mask, torch.tensor([row.labels for row in rows]), inside)
