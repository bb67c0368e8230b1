"""A sequence classifier in ONNX, run by onnxruntime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from guardrails.classifier import ModelError

from .files import TOKENIZER, labels_of, local_file, verify
from .scoring import highest_scores
from .spec import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .spec import ModelSpec

__all__ = ["OnnxModel"]

_FATAL: Final = 4


class OnnxModel:
    """Scores one stretch of text by label; a stretch of too many tokens is read in parts."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load it.

        Raises:
            ModelError: if a file is missing, changed or unusable.
        """
        self._labels, several = labels_of(spec)
        self._scale = spec.scale or (Scale.SIGMOID if several else Scale.SOFTMAX)
        path = local_file(spec, spec.file)
        verify(spec, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = spec.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        tokenizer = local_file(spec, TOKENIZER)
        try:
            # By path: a large model keeps its weights in a second file beside it.
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:
            raise ModelError(f"{path}: the model cannot be loaded") from error
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(spec.max_tokens, stride=spec.max_tokens // 4)

    def scores(self, text: str) -> Mapping[str, float]:
        """The highest score of each label over the parts of the text."""
        whole = self._tokenizer.encode(text)
        logits = [self._logits(each) for each in (whole, *whole.overflowing)]
        return highest_scores(np.concatenate(logits), self._labels, self._scale)

    def _logits(self, encoding: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        feed = {
            name: np.array([getattr(encoding, attribute)], dtype=np.int64)
            for name, attribute in _FEEDS.items()
            if name in self._inputs
        }
        output: np.ndarray[tuple[int, int], np.dtype[np.float32]] = self._session.run(None, feed)[0]
        return output


_FEEDS: Final = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
}
