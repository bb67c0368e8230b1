"""The model in memory: text in, one logit a head out. Synchronous; one thread a call.

A logit is the encoder's; for some heads that of a linear model over runs of characters and words is
added.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from .manifest import Manifest, ModelError
from .ngrams import NgramModel
from .readable import readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["ModelSession"]

MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
NGRAMS: Final = "ngrams.npy"
_FATAL: Final = 4


class ModelSession:
    """A verified model, loaded.

    Every stretch runs alone: the INT8 model scales activations over all that it is given at
    once, so in a batch one text's scores would depend on its neighbours.
    """

    def __init__(self, folder: Path) -> None:
        """Load from a folder.

        Raises:
            ModelError: if a file is missing, changed or unusable.
        """
        self.manifest = Manifest.read(folder)
        model = self.manifest.verified(folder, MODEL)
        tokenizer = self.manifest.verified(folder, TOKENIZER)
        ngrams = self.manifest.verified(folder, NGRAMS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(
                model,
                options,
                providers=["CPUExecutionProvider"],
                # Fused with the sum before it, a layer norm takes ten times as long here.
                disabled_optimizers=["SkipLayerNormFusion"],
            )
            self._tokenizer = Tokenizer.from_str(tokenizer.decode())
            self._ngrams = NgramModel(
                np.load(io.BytesIO(ngrams), allow_pickle=False),
                np.array(self.manifest.ngram_scale, dtype=np.float32),
                np.array(self.manifest.ngram_bias, dtype=np.float32),
            )
        except Exception as error:
            raise ModelError(f"{folder}: the model cannot be loaded") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def logits(self, text: str) -> Mapping[str, float]:
        """The highest logit of each head over the text; the encoder reads it in stretches."""
        return self._logits(readable(text))

    def scores(self, text: str) -> Mapping[str, float]:
        """The same as scores from 0 to 1; see `Anchors`. A text is as long as it reads."""
        plain = readable(text)
        return {
            head: self.manifest.score(head, logit, chars=len(plain))
            for head, logit in self._logits(plain).items()
        }

    def count(self, text: str) -> int:
        """How many tokens a text has, without those that frame it."""
        return len(self._tokenizer.encode(text).ids) - 2

    def _logits(self, plain: str) -> Mapping[str, float]:
        outputs = [self._run(ids) for ids in self._stretches(plain)]
        highest = np.max(np.stack(outputs), axis=0)
        logits = dict(zip(self.manifest.heads, highest.tolist(), strict=True))
        added = self._ngrams.logits(plain).tolist()
        for head, logit in zip(self.manifest.ngram_heads, added, strict=True):
            logits[head] += logit
        return logits

    def _stretches(self, text: str) -> Iterator[list[int]]:
        """Token ids, at most `max_tokens` at a time; neighbours share a quarter."""
        ids = self._tokenizer.encode(text).ids
        begin, end = ids[:1], ids[-1:]
        body, room = ids[1:-1], self.manifest.max_tokens - 2
        at = 0
        while True:
            yield [*begin, *body[at : at + room], *end]
            if at + room >= len(body):
                return
            at += room * 3 // 4

    def _run(self, ids: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        tokens = np.array([ids], dtype=np.int64)
        feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        output: np.ndarray[tuple[int], np.dtype[np.float32]] = self._session.run(None, feed)[0][0]
        return output
