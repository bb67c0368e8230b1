"""Pattern rules that settle exactly while a text arrives."""

from __future__ import annotations

from .bounds import Bounds, PatternError, prove
from .digits import Digits
from .glance import NEAR_CHARS, Glance, Sign, signs
from .live import LiveQuestion
from .prefilter import Prefilter, Sought, merged
from .rule import Context, Rule
from .ruleset import RuleScan, RuleSet

__all__ = [
    "NEAR_CHARS",
    "Bounds",
    "Context",
    "Digits",
    "Glance",
    "LiveQuestion",
    "PatternError",
    "Prefilter",
    "Rule",
    "RuleScan",
    "RuleSet",
    "Sign",
    "Sought",
    "merged",
    "prove",
    "signs",
]
