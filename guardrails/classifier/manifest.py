"""What a model folder says about itself, and whether its files are what it says."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["MANIFEST", "Anchors", "Manifest", "ModelError"]

MANIFEST: Final = "guard.json"


class ModelError(Exception):
    """A model cannot be used; the text says why, for the operator."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Turns a logit into a score by the false-positive rates it stands for.

    At 0.3, 0.5 and 0.9 five, one and a tenth of one in a hundred harmless texts of the
    calibration set score higher. Between them the score is linear in the logit; it never
    falls when the logit rises.
    """

    logits: tuple[float, ...]
    scores: tuple[float, ...]

    def score(self, logit: float) -> float:
        """A number from 0 to 1."""
        points = list(zip(self.logits, self.scores, strict=True))
        if logit <= points[0][0]:
            return points[0][1]
        for (low, low_score), (high, high_score) in itertools.pairwise(points):
            if logit <= high:
                return low_score + (high_score - low_score) * (logit - low) / (high - low)
        return points[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The model's version, its heads in order, and how each one's logits become scores.

    A stretch of at most `short_chars` characters has anchors of its own: what is harmless and
    scores high is mostly long.
    """

    version: str
    heads: tuple[str, ...]
    anchors: Mapping[str, Anchors]
    short_anchors: Mapping[str, Anchors]
    short_chars: int
    ngram_heads: tuple[str, ...]
    ngram_scale: tuple[float, ...]
    ngram_bias: tuple[float, ...]
    max_tokens: int
    stride_chars: int
    window_chars: int
    sha256: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read a folder's manifest.

        Raises:
            ModelError: if it is missing or unreadable.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls._of(content)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path}: not a manifest of a guard model") from error

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Manifest:
        heads: Sequence[str] = content["heads"]
        return cls(
            version=content["version"],
            heads=tuple(heads),
            anchors=_anchors(content["anchors"]),
            short_anchors=_anchors(content["short_anchors"]),
            short_chars=content["short_chars"],
            ngram_heads=tuple(content["ngrams"]["heads"]),
            ngram_scale=tuple(content["ngrams"]["scale"]),
            ngram_bias=tuple(content["ngrams"]["bias"]),
            max_tokens=content["max_tokens"],
            stride_chars=content["stride_chars"],
            window_chars=content["window_chars"],
            sha256=dict(content["sha256"]),
        )

    def score(self, head: str, logit: float, *, chars: int) -> float:
        """What a head's logit means for a stretch of this length: a number from 0 to 1."""
        anchors = self.short_anchors if chars <= self.short_chars else self.anchors
        return anchors[head].score(logit)

    def verified(self, folder: Path, name: str) -> bytes:
        """The content of one of the model's files.

        Raises:
            ModelError: if it is missing, or not the file that the manifest was written for.
        """
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != self.sha256.get(name):
            raise ModelError(f"{path}: not the file that {MANIFEST} names; its digest differs")
        return content


def _anchors(content: Mapping[str, Any]) -> dict[str, Anchors]:
    return {
        head: Anchors(tuple(points["logits"]), tuple(points["scores"]))
        for head, points in content.items()
    }
