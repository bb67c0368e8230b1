"""The larger models that the policies in force name, each in memory once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from guardrails.classifier import Checkpoints, ClassifierDetector, ClassifierJudge, ModelError

if TYPE_CHECKING:
    from collections.abc import Collection

    from guardrails.classifier.judging import Scorer

    from .spec import ModelSpec

__all__ = ["Loadable", "Shelf"]


class Loadable(Protocol):
    """What is kept on the shelf; equal ones are in memory once."""

    @property
    def place(self) -> str:
        """Where it comes from, for a person to read."""

    def load(self) -> Scorer:
        """Load it; takes seconds.

        Raises:
            ModelError: if it is missing, changed or unusable.
        """

    def __hash__(self) -> int:
        """Equal ones have the same."""


class Shelf:
    """Judges by model. Until its model is loaded a judge fails, and the policy decides."""

    def __init__(self) -> None:
        """Nothing is named yet."""
        self._judges: dict[Loadable, ClassifierJudge] = {}
        self._tried: set[Loadable] = set()

    def judge(self, spec: Loadable) -> ClassifierJudge:
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
                judge.use(await asyncio.to_thread(spec.load))
                outcomes[spec.place] = None
            except ModelError as error:
                outcomes[spec.place] = error
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
