"""The larger models that the policies in force name, each in memory once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from guardrails.classifier import Checkpoints, ClassifierDetector, ClassifierJudge, ModelError

from .spec import Runtime

if TYPE_CHECKING:
    from collections.abc import Collection

    from guardrails.classifier.judging import Scorer

    from .spec import ModelSpec

__all__ = ["Shelf"]


class Shelf:
    """Judges by model. Until its model is loaded a judge fails, and the policy decides."""

    def __init__(self) -> None:
        """Nothing is named yet."""
        self._judges: dict[ModelSpec, ClassifierJudge] = {}
        self._tried: set[ModelSpec] = set()

    def judge(self, spec: ModelSpec) -> ClassifierJudge:
        """The judge of this model, loaded or not."""
        return self._judges.setdefault(spec, ClassifierJudge())

    def keep(self, used: Collection[ClassifierJudge]) -> None:
        """Only these are used from now on; let go of the others."""
        for spec, judge in list(self._judges.items()):
            if judge not in used:
                judge.close()
                del self._judges[spec]
                self._tried.discard(spec)

    async def load(self) -> dict[str, ModelError | None]:
        """Load what was not tried before, off the event loop; what became of each, by its place."""
        outcomes: dict[str, ModelError | None] = {}
        for spec, judge in list(self._judges.items()):
            if spec in self._tried:
                continue
            self._tried.add(spec)
            try:
                judge.use(await asyncio.to_thread(_loaded, spec))
                outcomes[spec.hub or spec.path] = None
            except ModelError as error:
                outcomes[spec.hub or spec.path] = error
        return outcomes

    def close(self) -> None:
        """Let go of all."""
        self.keep(())


def detector(name: str, spec: ModelSpec) -> ClassifierDetector:
    """A model as a detector of this name."""
    return ClassifierDetector(
        name,
        version=spec.version,
        heads=dict(spec.labels),
        checkpoints=Checkpoints(stride_chars=spec.stride_chars, window_chars=spec.window_chars),
    )


def _loaded(spec: ModelSpec) -> Scorer:
    # Imported here: a process whose policies name no model need not have what runs it.
    if spec.runtime is Runtime.TRANSFORMERS:
        from .transformers_model import TransformersModel  # noqa: PLC0415

        return TransformersModel(spec)
    from .onnx_model import OnnxModel  # noqa: PLC0415

    return OnnxModel(spec)
