"""Which model, where it comes from, and what its labels mean."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrails.classifier.judging import Scorer

__all__ = ["ModelSpec", "Runtime", "Scale"]


class Runtime(enum.Enum):
    """What runs a model."""

    ONNX = "onnx"
    TRANSFORMERS = "transformers"


class Scale(enum.Enum):
    """How logits become scores: labels that exclude one another, or each by itself."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model as a policy names it; two policies with equal specs share it in memory."""

    runtime: Runtime
    # A folder on this machine, or a name on the Hugging Face hub with the commit to take.
    path: str
    hub: str
    revision: str
    file: str
    sha256: str
    # Label of the model, category of the policy.
    labels: tuple[tuple[str, str], ...]
    scale: Scale | None
    max_tokens: int
    stride_chars: int
    window_chars: int
    threads: int

    @property
    def version(self) -> str:
        """What tells this model from others under the same name, as far as the policy pins it."""
        return self.sha256[:12] or self.revision[:12] or "unpinned"

    @property
    def place(self) -> str:
        """Where it comes from, for a person to read."""
        return self.hub or self.path

    def load(self) -> Scorer:
        """Load it.

        Raises:
            ModelError: if a library or a file is missing, or the model is unusable.
        """
        # Imported here: a process whose policies name no model need not have what runs it.
        if self.runtime is Runtime.TRANSFORMERS:
            from .transformers_model import TransformersModel  # noqa: PLC0415

            return TransformersModel(self)
        from .onnx_model import OnnxModel  # noqa: PLC0415

        return OnnxModel(self)
