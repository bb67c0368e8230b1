"""Pattern rules that settle exactly while a text arrives."""

from __future__ import annotations

from .bounds import Bounds, PatternError, prove
from .digits import Digits
from .live import LiveQuestion
from .prefilter import Prefilter, Sought, merged
from .rule import Context, Rule
from .ruleset import RuleScan, RuleSet

__all__ = [
    "Bounds",
    "Context",
    "Digits",
    "LiveQuestion",
    "PatternError",
    "Prefilter",
    "Rule",
    "RuleScan",
    "RuleSet",
    "Sought",
    "merged",
    "prove",
]
