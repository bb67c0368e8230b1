"""A case for a person: what was found where, and the text only if the policy keeps it."""

from __future__ import annotations

import enum
import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from guardrails.findings import Direction, Finding, Role, Treatment

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Case", "Decision", "ReviewState", "new_review_id"]


class ReviewState(enum.Enum):
    """How a case stands."""

    PENDING = "pending"
    # The guard was too strict.
    ACCEPTED = "accepted"
    # The guard was right.
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person said, and when, in seconds since 1970."""

    state: ReviewState
    resolved_by: str
    resolved_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One text under review; times in seconds since 1970."""

    review_id: str
    tenant: str
    created_s: float
    expires_s: float
    role: Role
    direction: Direction
    findings: tuple[Finding, ...]
    text_sha256: str
    text: str | None
    policy_digest: str
    request_id: str = ""
    state: ReviewState = ReviewState.PENDING
    resolved_by: str = ""
    resolved_s: float = 0.0

    def decided(self, decision: Decision) -> Case:
        """The case with what was decided."""
        return replace(
            self,
            state=decision.state,
            resolved_by=decision.resolved_by,
            resolved_s=decision.resolved_s,
        )

    def says(self, decision: Decision) -> bool:
        """Whether exactly this was decided already."""
        return (self.state, self.resolved_by) == (decision.state, decision.resolved_by)

    def to_json(self) -> str:
        """One line, which `from_json` reads."""
        return json.dumps(asdict(self), default=lambda word: word.value, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The case that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(line)
        return cls(
            **fields
            | {
                "role": Role(fields["role"]),
                "direction": Direction(fields["direction"]),
                "state": ReviewState(fields["state"]),
                "findings": tuple(
                    Finding(**entry | {"treatment": Treatment(entry["treatment"])})
                    for entry in fields["findings"]
                ),
            }
        )


def new_review_id(now_s: float) -> str:
    """A name that nobody guesses; names sort by the time they were made."""
    return f"rev-{round(now_s * 1000):012x}-{secrets.token_hex(8)}"
