"""Pattern rules that settle exactly while a text arrives."""

from __future__ import annotations

from .bounds import Bounds, PatternError, prove
from .live import LiveQuestion
from .prefilter import Prefilter, merged
from .rule import Context, Rule
from .ruleset import RuleScan, RuleSet

__all__ = [
    "Bounds",
    "Context",
    "LiveQuestion",
    "PatternError",
    "Prefilter",
    "Rule",
    "RuleScan",
    "RuleSet",
    "merged",
    "prove",
]
