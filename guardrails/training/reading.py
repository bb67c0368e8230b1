"""Reads texts with an exported model, in the windows that the service would judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.classifier.checkpoints import Checkpoints
from guardrails.classifier.session import ModelSession

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardrails.classifier.manifest import Anchors

__all__ = ["WindowReader"]

_LOWEST: Final = -20.0


class WindowReader:
    """The highest logit or score of each head over a text's windows."""

    def __init__(self, folder: Path) -> None:
        """Load the model."""
        self._session = ModelSession(folder)
        manifest = self._session.manifest
        self.heads = manifest.heads
        self.version = manifest.version
        self.anchors: Mapping[str, Anchors] = manifest.anchors
        self._checkpoints = Checkpoints(
            stride_chars=manifest.stride_chars, window_chars=manifest.window_chars
        )
        self._known: dict[str, Mapping[str, float]] = {}

    def logits(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Logits of each text."""
        return [self._logits(text) for text in texts]

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Scores of each text."""
        return [
            {head: self.anchors[head].score(logit) for head, logit in logits.items()}
            for logits in self.logits(texts)
        ]

    def _logits(self, text: str) -> dict[str, float]:
        windows = [text[cut.start : cut.end] for cut in self._checkpoints.cuts(text)]
        judged = [self._window(window) for window in windows]
        return {head: max((each[head] for each in judged), default=_LOWEST) for head in self.heads}

    def _window(self, window: str) -> Mapping[str, float]:
        if window not in self._known:
            self._known[window] = self._session.logits(window)
        return self._known[window]
