"""What a tenant may do and take: the terms that come with a credential."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

__all__ = ["Allowance", "GuardLoss", "Period", "Priority", "Terms", "Unit"]


class Priority(IntEnum):
    """Where a tenant's requests stand when there is more work than room; as in the contract."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


class GuardLoss(Enum):
    """What may stand in for the guard when it is down."""

    # The gateway's own rules: whole texts, blocked on any match.
    LOCAL_RULES = "local_rules"
    # Unchecked text passes, marked as degraded and kept for review in the audit record.
    OPEN_WITH_REVIEW = "open_with_review"


class Period(Enum):
    """How long an allowance lasts; both begin and end at midnight UTC."""

    DAY = "day"
    MONTH = "month"


class Unit(Enum):
    """What an allowance counts."""

    TOKENS = "tokens"
    COST_MICROS = "cost_micros"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The most of something that a tenant may consume in a period."""

    period: Period
    unit: Unit
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A tenant's limits; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    priority: Priority = Priority.NORMAL
    allowances: tuple[Allowance, ...] = ()
    # None: no answer without the guard.
    guard_loss: GuardLoss | None = None
