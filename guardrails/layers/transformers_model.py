"""A sequence classifier by transformers, where torch is installed beside the service."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from guardrails.classifier import ModelError

from .files import labels_of
from .scoring import highest_scores
from .spec import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .spec import ModelSpec

__all__ = ["TransformersModel"]


class TransformersModel:
    """Scores one stretch of text by label; a stretch of too many tokens is read in parts."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load it. Only safetensors are read: the other format can run code.

        Raises:
            ModelError: if the libraries or a file are missing, or the model is unusable.
        """
        try:
            # By name: the service itself has to run without them.
            self._torch: Any = importlib.import_module("torch")
            transformers: Any = importlib.import_module("transformers")
        except ImportError as error:
            raise ModelError(
                "runtime: transformers needs pip install 'vedette[guardrails-transformers]'; "
                "a model in ONNX needs nothing more"
            ) from error
        self._labels, several = labels_of(spec)
        self._scale = spec.scale or (Scale.SIGMOID if several else Scale.SOFTMAX)
        self._max_tokens = spec.max_tokens
        source = spec.hub or spec.path
        pinned = {"revision": spec.revision} if spec.hub else {"local_files_only": True}
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(source, **pinned)
            self._model = transformers.AutoModelForSequenceClassification.from_pretrained(
                source, use_safetensors=True, **pinned
            ).eval()
        except Exception as error:
            raise ModelError(f"{source}: the model cannot be loaded") from error

    def scores(self, text: str) -> Mapping[str, float]:
        """The highest score of each label over the parts of the text."""
        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self._max_tokens,
            stride=self._max_tokens // 4,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        encoded.pop("overflow_to_sample_mapping", None)
        with self._torch.inference_mode():
            logits = self._model(**encoded).logits.float().numpy()
        return highest_scores(logits, self._labels, self._scale)
