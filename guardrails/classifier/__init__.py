"""A small encoder that judges stretches of text: attacks by users, orders planted in documents,
and topics that need care.

Covered and not covered: see the model card, `docs/model-cards/guard.md`.
"""

from __future__ import annotations

from .checkpoints import Checkpoints, Cut
from .detector import ClassifierDetector
from .judging import ClassifierJudge
from .loading import MODEL_FOLDER, Classifier, classifier
from .manifest import ModelError

__all__ = [
    "MODEL_FOLDER",
    "Checkpoints",
    "Classifier",
    "ClassifierDetector",
    "ClassifierJudge",
    "Cut",
    "ModelError",
    "classifier",
]
