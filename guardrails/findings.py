"""The words of the guard: roles, directions, actions, findings and executions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

__all__ = [
    "Action",
    "Direction",
    "Execution",
    "ExecutionState",
    "Finding",
    "Match",
    "Role",
    "Treatment",
]


class Role(enum.Enum):
    """Who speaks: a trust label."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DOCUMENT = "document"


class Direction(enum.Enum):
    """Which way a text is going: towards the model, or from it to the caller."""

    INPUT = "input"
    OUTPUT = "output"


class Action(enum.IntEnum):
    """What becomes of a finding or a text; later is stricter."""

    ALLOW = 1
    REDACT = 2
    REVIEW = 3
    BLOCK = 4


class Treatment(enum.Enum):
    """What a policy orders for a category of findings."""

    ALLOW = "allow"
    MASK = "mask"
    HASH = "hash"
    PSEUDONYMIZE = "pseudonymize"
    # The whole text is delimited as data that nobody vouches for.
    MARK = "mark"
    # The whole text is replaced by a notice.
    DROP = "drop"
    # A person is to look at it; the text passes meanwhile.
    REVIEW = "review"
    # A person is to look at it; the text does not pass meanwhile.
    HOLD = "hold"
    BLOCK = "block"

    @property
    def action(self) -> Action:
        """What the caller is told."""
        return _ACTIONS[self]

    @property
    def rewrites(self) -> bool:
        """Whether the text changes."""
        return self.action is Action.REDACT

    @property
    def replaces(self) -> bool:
        """Whether the found stretch is replaced, and not the whole text or nothing."""
        return self in _REPLACING

    @property
    def blocks(self) -> bool:
        """Whether the text ends before the finding."""
        return self in _BLOCKING

    @property
    def asks(self) -> bool:
        """Whether a person is to decide."""
        return self.action is Action.REVIEW


_ACTIONS: Final = {
    Treatment.ALLOW: Action.ALLOW,
    Treatment.MASK: Action.REDACT,
    Treatment.HASH: Action.REDACT,
    Treatment.PSEUDONYMIZE: Action.REDACT,
    Treatment.MARK: Action.REDACT,
    Treatment.DROP: Action.REDACT,
    Treatment.REVIEW: Action.REVIEW,
    Treatment.HOLD: Action.REVIEW,
    Treatment.BLOCK: Action.BLOCK,
}
_REPLACING: Final = frozenset({Treatment.MASK, Treatment.HASH, Treatment.PSEUDONYMIZE})
_BLOCKING: Final = frozenset({Treatment.HOLD, Treatment.BLOCK})


class ExecutionState(enum.IntEnum):
    """Whether a check ran; a later state wins when several texts are summed up."""

    SKIPPED = 1
    RAN = 2
    TIMED_OUT = 3
    FAILED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a detector says about a stretch of text, half-open in code points of the original."""

    start: int
    end: int
    category: str
    rule_id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A match that crossed its threshold, and what the policy made of it. Never the text."""

    detector: str
    category: str
    rule_id: str
    start: int
    end: int
    score: float
    treatment: Treatment

    @property
    def action(self) -> Action:
        """What the caller is told."""
        return self.treatment.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What became of one detector over one text."""

    detector: str
    version: str
    state: ExecutionState
    score: float = 0.0
    busy_s: float = 0.0
