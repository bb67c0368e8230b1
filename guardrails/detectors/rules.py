"""A detector made of pattern rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.normalise import PLAIN, NormalisedScan, View
from guardrails.rules import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guardrails.findings import Match
    from guardrails.rules import Rule, RuleScan, Sign
    from guardrails.window.lanes import Scan

__all__ = ["RuleDetector"]


class RuleDetector:
    """Applies a rule set; its version is the digest of the rules."""

    def __init__(
        self,
        name: str,
        rules: Iterable[Rule],
        *,
        view: View = PLAIN,
        as_sent: Iterable[Rule] = (),
        timed: bool = True,
    ) -> None:
        """Compile the rules; do it once and share the detector.

        They read texts in this view, except for those that read them `as_sent`. Rules of this
        package need not be `timed` one by one; see `RuleSet`.
        """
        self.name = name
        self._view = view
        self._rules = RuleSet(rules, timed=timed)
        self._as_sent = RuleSet(as_sent, timed=timed)
        self.rules = self._rules.rules + self._as_sent.rules
        self.version = self._rules.version
        if self._as_sent.rules:
            self.version += f"+{self._as_sent.version}"
        self.categories = frozenset(rule.category for rule in self.rules)
        self.unbounded = tuple(rule.id for rule in self.rules if not rule.bounds.streams)

    def signs(self, *, streamed: bool) -> Iterator[Sign]:
        """What a text in ASCII has where this detector could find something, for a `Glance`."""
        yield from self._view.signs(streamed=streamed)
        yield from self._rules.signs(streamed=streamed, any_case=self._view.lowers)
        yield from self._as_sent.signs(streamed=streamed, any_case=False)

    @property
    def left_chars(self) -> int:
        """How many characters before a match can matter."""
        return max(self._rules.left_chars, self._as_sent.left_chars)

    def open(self) -> Scan:
        """Begin a text."""
        normalised = NormalisedScan(self._rules.open(), self._view)
        if not self._as_sent.rules:
            return normalised
        return _BothScans(normalised, self._as_sent.open())


class _BothScans:
    """Two scans of one text as one."""

    def __init__(self, one: NormalisedScan, other: RuleScan) -> None:
        self.settled = 0
        self._scans = one, other

    def push(self, piece: str, *, last: bool, timeout_s: float) -> Sequence[Match]:
        """Take the next piece; see `guardrails.window.lanes.Scan`."""
        found = [
            match
            for scan in self._scans
            for match in scan.push(piece, last=last, timeout_s=timeout_s)
        ]
        self.settled = min(scan.settled for scan in self._scans)
        return found

    def has_settled(self, before: str) -> bool:
        """See `guardrails.rules.RuleScan.has_settled`."""
        return all(scan.has_settled(before) for scan in self._scans)

    def skip(self, chars: int, before: str) -> None:
        """See `guardrails.rules.RuleScan.skip`."""
        for scan in self._scans:
            scan.skip(chars, before)
        self.settled = min(scan.settled for scan in self._scans)
