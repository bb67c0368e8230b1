"""Where two policies disagree: counts, and a few examples by hash and name of the request."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from guardrails.findings import Direction, Treatment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.findings import Action, Finding

__all__ = ["Opinion", "Pair", "Tally"]

_MAX_EXAMPLES: Final = 5
_SEVERITY: Final = {treatment: rank for rank, treatment in enumerate(Treatment)}
# In place of a category: what becomes of the whole text.
_WHOLE: Final = "*"
_NOTHING: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An active policy and its candidate, each in one version."""

    active: str
    active_digest: str
    candidate: str
    candidate_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What one policy made of one text: of the whole, and of each category at its strictest."""

    whole: str
    by_category: Mapping[str, str]

    @classmethod
    def of(cls, action: Action, findings: Sequence[Finding]) -> Opinion:
        """The opinion that an outcome stands for."""
        strictest: dict[str, Treatment] = {}
        for finding in findings:
            known = strictest.setdefault(finding.category, finding.treatment)
            if _SEVERITY[finding.treatment] > _SEVERITY[known]:
                strictest[finding.category] = finding.treatment
        return cls(
            whole=action.name.lower(),
            by_category={category: each.value for category, each in strictest.items()},
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """One pair of policies. Bounded by the categories and treatments that there are."""

    pair: Pair
    since_s: float
    compared: Counter[Direction] = field(default_factory=Counter)
    disagreed: int = 0
    # Texts that came while too many were waiting.
    dropped: int = 0
    # Texts of which some detector of the candidate could not judge.
    failed: int = 0
    _rows: Counter[tuple[Direction, str, str, str]] = field(default_factory=Counter)
    _examples: defaultdict[tuple[Direction, str, str, str], list[dict[str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(
        self,
        direction: Direction,
        active: Opinion,
        candidate: Opinion,
        *,
        text_sha256: str,
        request_id: str,
    ) -> None:
        """Count one text."""
        self.compared[direction] += 1
        keys = [
            (direction, category, ours, theirs)
            for category, ours, theirs in _side_by_side(active, candidate)
            if ours != theirs
        ]
        self.disagreed += bool(keys)
        for key in keys:
            self._rows[key] += 1
            examples = self._examples[key]
            if len(examples) < _MAX_EXAMPLES:
                examples.append({"text_sha256": text_sha256, "request_id": request_id})

    def to_dict(self, until_s: float) -> dict[str, Any]:
        """The tally for a file; times in seconds since 1970."""
        return {
            "active": self.pair.active,
            "active_digest": self.pair.active_digest,
            "candidate": self.pair.candidate,
            "candidate_digest": self.pair.candidate_digest,
            "since_s": self.since_s,
            "until_s": until_s,
            "compared": {way.value: self.compared[way] for way in Direction},
            "disagreed": self.disagreed,
            "dropped": self.dropped,
            "failed": self.failed,
            "rows": [
                {
                    "direction": direction.value,
                    "category": category,
                    "active": ours,
                    "candidate": theirs,
                    "count": count,
                    "examples": self._examples[direction, category, ours, theirs],
                }
                for (direction, category, ours, theirs), count in self._rows.most_common()
            ],
        }


def _side_by_side(active: Opinion, candidate: Opinion) -> list[tuple[str, str, str]]:
    categories = sorted({*active.by_category, *candidate.by_category})
    return [
        (_WHOLE, active.whole, candidate.whole),
        *(
            (
                category,
                active.by_category.get(category, _NOTHING),
                candidate.by_category.get(category, _NOTHING),
            )
            for category in categories
        ),
    ]
