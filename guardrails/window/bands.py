"""What a score means: accepted, put before a person, or treated as the policy says."""

from __future__ import annotations

from dataclasses import dataclass

from guardrails.findings import Treatment

__all__ = ["Bands"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Three bands of scores from 0 to 1.

    Below `review_from` a match is accepted, from there a person is asked, from `threshold` on it
    is treated. Without `review_from` nobody is asked.
    """

    treatment: Treatment
    threshold: float
    review_from: float | None = None
    # Whether the text passes while it is under review: REVIEW, or HOLD.
    under_review: Treatment = Treatment.REVIEW

    def treatment_of(self, score: float) -> Treatment | None:
        """What to do with a match of this score; None where it is accepted."""
        if score >= self.threshold:
            return self.treatment
        if self.review_from is not None and score >= self.review_from:
            return self.under_review
        return None

    @property
    def treatments(self) -> frozenset[Treatment]:
        """Every treatment that can occur."""
        if self.review_from is None:
            return frozenset({self.treatment})
        return frozenset({self.treatment, self.under_review})
