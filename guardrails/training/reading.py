"""Reads texts with an exported model, in the windows that the service would judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.classifier.checkpoints import Checkpoints
from guardrails.classifier.readable import readable
from guardrails.classifier.session import ModelSession

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["WindowReader"]

_LOWEST: Final = -20.0


class WindowReader:
    """The highest logit or score of each head over a text's windows."""

    def __init__(self, folder: Path) -> None:
        """Load the model."""
        self._session = ModelSession(folder)
        self.manifest = self._session.manifest
        self._checkpoints = Checkpoints(
            stride_chars=self.manifest.stride_chars, window_chars=self.manifest.window_chars
        )
        self._known: dict[str, Mapping[str, float]] = {}

    def logits(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Logits of each text."""
        return [self._highest([self._window(each) for each in self._cut(text)]) for text in texts]

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Scores of each text."""
        return [self._highest([self._scores(each) for each in self._cut(text)]) for text in texts]

    def _cut(self, text: str) -> list[str]:
        return [text[cut.start : cut.end] for cut in self._checkpoints.cuts(text)]

    def _highest(self, judged: Sequence[Mapping[str, float]]) -> dict[str, float]:
        heads = self.manifest.heads
        return {head: max((each[head] for each in judged), default=_LOWEST) for head in heads}

    def _scores(self, window: str) -> dict[str, float]:
        chars = len(readable(window))
        return {
            head: self.manifest.score(head, logit, chars=chars)
            for head, logit in self._window(window).items()
        }

    def _window(self, window: str) -> Mapping[str, float]:
        if window not in self._known:
            self._known[window] = self._session.logits(window)
        return self._known[window]
