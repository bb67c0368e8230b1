"""A detector made of pattern rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.normalise import PLAIN, NormalisedScan, View
from guardrails.rules import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.lanes import Scan
    from guardrails.rules import Rule

__all__ = ["RuleDetector"]


class RuleDetector:
    """Applies a rule set; its version is the digest of the rules."""

    def __init__(
        self, name: str, rules: Iterable[Rule], *, view: View = PLAIN, timed: bool = True
    ) -> None:
        """Compile the rules; do it once and share the detector. They read texts in this view.

        Rules of this package need not be `timed` one by one; see `RuleSet`.
        """
        self.name = name
        self._view = view
        self._rules = RuleSet(rules, timed=timed)
        self.version = self._rules.version
        self.categories = frozenset(rule.category for rule in self._rules.rules)
        self.unbounded = tuple(rule.id for rule in self._rules.rules if not rule.bounds.streams)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules it applies."""
        return self._rules.rules

    def open(self) -> Scan:
        """Begin a text."""
        return NormalisedScan(self._rules.open(), self._view)
