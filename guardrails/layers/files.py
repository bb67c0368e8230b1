"""The files of a model: in a folder, or fetched from the hub at one commit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.classifier import ModelError

if TYPE_CHECKING:
    from .spec import ModelSpec

__all__ = ["TOKENIZER", "labels_of", "local_file", "verify"]

TOKENIZER: Final = "tokenizer.json"
_CONFIG: Final = "config.json"


def local_file(spec: ModelSpec, name: str) -> Path:
    """Where a file of the model lies on this machine; fetched first, if it is on the hub.

    Raises:
        ModelError: if there is none.
    """
    if not spec.hub:
        path = Path(spec.path) / name
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        return path
    import huggingface_hub  # noqa: PLC0415 - only for policies that name the hub

    try:
        return Path(huggingface_hub.hf_hub_download(spec.hub, name, revision=spec.revision))
    except (OSError, ValueError) as error:  # every error of the hub is one of these
        raise ModelError(
            f"{spec.hub}@{spec.revision[:12]}: {name} cannot be fetched: {type(error).__name__}"
        ) from error


def verify(spec: ModelSpec, path: Path) -> None:
    """Hold the model's weights against the digest in the policy, if there is one.

    Raises:
        ModelError: if they are not what the policy names.
    """
    if not spec.sha256:
        return
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != spec.sha256:
        raise ModelError(f"{path}: not the file that the policy names; its digest differs")


def labels_of(spec: ModelSpec) -> tuple[list[str], bool]:
    """The model's labels in the order of its outputs, and whether several can hold at once.

    Raises:
        ModelError: if its configuration is missing or says nothing about labels.
    """
    path = local_file(spec, _CONFIG)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        named = {int(index): str(label) for index, label in config["id2label"].items()}
        labels = [named[index] for index in range(len(named))]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: not the configuration of a sequence classifier") from error
    unknown = sorted(label for label, _ in spec.labels if label not in labels)
    if unknown:
        raise ModelError(f"{path}: no label {', '.join(unknown)}; there are {', '.join(labels)}")
    return labels, config.get("problem_type") == "multi_label_classification"
