"""The classifier's detectors and the one model behind them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .checkpoints import Checkpoints
from .detector import ClassifierDetector
from .judging import ClassifierJudge
from .manifest import Manifest, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .judging import Scorer

__all__ = ["MODEL_FOLDER", "Classifier", "classifier"]

MODEL_FOLDER: Final = Path(__file__).parent.parent / "models" / "guard"

_FULL_WINDOW: Final = "The first window of a text is as long as this one, but says more. " * 7

# Three detectors, because a policy gives each its own roles and threshold: the same order is a
# request from a user and an attack inside a document.
_DETECTORS: Final[Mapping[str, Mapping[str, str]]] = {
    "attacks": {"direct": "INJECTION"},
    "planted": {"planted": "PLANTED_ORDER"},
    "topics": {
        "hate": "HATE",
        "harassment": "HARASSMENT",
        "violence": "VIOLENCE",
        "self_harm": "SELF_HARM",
        "sexual": "SEXUAL",
        "illicit": "ILLICIT",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Detectors for policies to name, and the judge that answers all of them."""

    detectors: tuple[ClassifierDetector, ...]
    judge: ClassifierJudge
    folder: Path

    @property
    def loaded(self) -> bool:
        """Whether questions are answered."""
        return self.judge.ready

    @property
    def judges(self) -> dict[str, ClassifierJudge]:
        """The judge by name of each detector."""
        return {detector.name: self.judge for detector in self.detectors}

    async def load(self) -> None:
        """Load the model, off the event loop; until then every question fails.

        Raises:
            ModelError: if the model is missing, changed or unusable.
        """
        self.judge.use(await asyncio.to_thread(_session, self.folder))


def _session(folder: Path) -> Scorer:
    # Imported here: a process that judges nothing need not wait for onnxruntime.
    from .session import ModelSession  # noqa: PLC0415

    session = ModelSession(folder)
    # The first run allocates and compiles expressions: ten times a later one, for its caller.
    session.scores(_FULL_WINDOW)
    return session


def classifier(folder: Path = MODEL_FOLDER, *, workers: int = 1) -> Classifier:
    """The classifier of a model folder; one without a manifest can still be named in policies."""
    try:
        manifest = Manifest.read(folder)
    except ModelError:
        version, checkpoints = "missing", Checkpoints()
    else:
        version = manifest.version
        checkpoints = Checkpoints(
            stride_chars=manifest.stride_chars, window_chars=manifest.window_chars
        )
    return Classifier(
        detectors=tuple(
            ClassifierDetector(name, version=version, heads=heads, checkpoints=checkpoints)
            for name, heads in _DETECTORS.items()
        ),
        judge=ClassifierJudge(workers=workers),
        folder=folder,
    )
