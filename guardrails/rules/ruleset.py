"""Rules compiled together, and the scan that applies them to a text while it arrives.

The findings of a rule are defined on the whole text: leftmost candidates from left to right,
none overlapping another of the same rule. A scan computes the same findings piece by piece.
What makes that exact is `LiveQuestion`; what makes it fast is
`Prefilter`.
"""

from __future__ import annotations

import functools
import hashlib
import time
from typing import TYPE_CHECKING

import regex

from guardrails.findings import Match

from .glance import Sign, signs
from .live import LiveQuestion
from .prefilter import Places, Prefilter
from .rule import VALUE_GROUP, Rule

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["RuleScan", "RuleSet"]


class RuleSet:
    """Compiled rules; immutable and shared by every scan."""

    def __init__(self, rules: Iterable[Rule], *, timed: bool = True) -> None:
        """Compile what says where the rules could match; do it once and share it.

        With `timed`, a search that takes too long is broken off. That costs two microseconds a
        search; rules that are known to search fast only have their sum watched.
        """
        self.rules = tuple(rules)
        self._compiled = tuple(_CompiledRule(rule, at_once=timed) for rule in self.rules)
        self.timed = timed
        self._prefilter = Prefilter([rule.sought for rule in self.rules])
        self._live = LiveQuestion([rule.sought.unnamed for rule in self.rules])
        self.left_chars = max((rule.left_chars for rule in self.rules), default=0)
        self.version = _version(self.rules)

    def open(self) -> RuleScan:
        """Begin a text."""
        return RuleScan(self)

    def signs(self, *, streamed: bool, any_case: bool) -> Iterator[Sign]:
        """What tells a `Glance` where these rules have to look."""
        return signs([rule.sought for rule in self.rules], streamed=streamed, any_case=any_case)

    def places(self, text: str, begin: int) -> Iterator[tuple[int, _CompiledRule, Places]]:
        """The rules that could match from `begin` on, by number, and where they may begin."""
        for index, places in self._prefilter.places(text, begin).items():
            yield index, self._compiled[index], places

    def live_start(self, text: str, begin: int, *, timeout_s: float | None) -> int:
        """The first place from `begin` on where a rule could still match or extend."""
        return self._live.start(text, begin, timeout_s=timeout_s)


class RuleScan:
    """One text under one rule set. Not thread-safe; it belongs to one text."""

    __slots__ = ("_base", "_floors", "_rules", "_text", "settled")

    def __init__(self, rules: RuleSet) -> None:
        """Begin with an empty text."""
        self._rules = rules
        self._text = ""
        self._base = 0
        self._floors = [0] * len(rules.rules)
        self.settled = 0

    def push(self, piece: str, *, last: bool, timeout_s: float) -> list[Match]:
        """Take the next piece; return the matches that became final, in no particular order.

        Afterwards every match that starts before `settled` has been returned.

        Raises:
            TimeoutError: if a pattern took longer than `timeout_s`; the scan is then over.
        """
        self._text += piece
        text, start = self._text, self.settled - self._base
        search_s = timeout_s if self._rules.timed else None
        live = len(text) if last else self._rules.live_start(text, start, timeout_s=search_s)
        if live == start:
            return []
        found = self._found(start, live, timeout_s=timeout_s, search_s=search_s)
        self.settled = self._base + live
        self._forget(live - self._rules.left_chars)
        return found

    def has_settled(self, before: str) -> bool:
        """Whether all that came is settled, and what it looks back at is the end of this text."""
        return self.settled - self._base == len(self._text) and before.endswith(self._text)

    def skip(self, chars: int, before: str) -> None:
        """Go on, where all had settled, after so many characters with nothing in them.

        `before` is the end of them, or of all that came: as much as the rules look back at.
        """
        self.settled += chars
        self._text = before[-self._rules.left_chars :]
        self._base = self.settled - len(self._text)

    def _found(
        self, start: int, live: int, *, timeout_s: float, search_s: float | None
    ) -> list[Match]:
        """The matches that begin in this stretch."""
        text, found, begun_s = self._text, list[Match](), None
        for index, rule, places in self._rules.places(text, start):
            # The thread's time, as in a search's own limit: who waits for the processor is not
            # slow. Asking for it costs as much as a scan.
            begun_s = time.thread_time() if begun_s is None else begun_s
            position = self._floors[index] - self._base
            for candidate in rule.candidates(text, position, places, timeout_s=search_s):
                if candidate.start() >= live:
                    break
                self._floors[index] = self._base + candidate.end()
                if rule.accepts(candidate) and (score := rule.score(candidate)):
                    found += rule.matches(candidate, self._base, score)
            if time.thread_time() - begun_s > timeout_s:
                raise TimeoutError
        return found

    def _forget(self, chars: int) -> None:
        if chars > 0:
            self._text = self._text[chars:]
            self._base += chars


class _CompiledRule:
    """A rule whose patterns are compiled when they are first needed; a policy's come at once."""

    def __init__(self, rule: Rule, *, at_once: bool) -> None:
        self._rule = rule
        self._value: str | int = VALUE_GROUP if f"(?P<{VALUE_GROUP}>" in rule.pattern else 0
        self._accept = rule.accept
        if at_once:
            _ = self._search, self._context

    @functools.cached_property
    def _search(self) -> Callable[..., regex.Match[str] | None]:
        return regex.compile(self._rule.pattern).search

    @functools.cached_property
    def _context(self) -> re.Pattern[str] | None:
        return self._rule.context.compile() if self._rule.context else None

    def candidates(
        self, text: str, position: int, places: Places, *, timeout_s: float | None
    ) -> Iterator[regex.Match[str]]:
        """The candidates that begin in these places and at or after the position, in order."""
        bounds = self._rule.bounds
        for low, high, end in places:
            position = max(position, low)
            while position < high:
                found = self._search(text, position, end, timeout=timeout_s)
                if found is None or found.start() >= high:
                    break
                if found.end() + bounds.right > end:  # It may have taken `end` for the text's.
                    begin = found.start()
                    found = self._search(text, begin, begin + bounds.reach, timeout=timeout_s)
                    if found is None or found.start() > begin:
                        position = begin + 1
                        continue
                yield found
                position = found.end()

    def accepts(self, candidate: regex.Match[str]) -> bool:
        return self._accept is None or self._accept(candidate[self._value])

    def matches(self, candidate: regex.Match[str], base: int, score: float) -> Iterator[Match]:
        """The match that a candidate comes to, if it does."""
        begin, end = candidate.span(self._value)
        if self._rule.narrow is not None:
            part = self._rule.narrow(candidate[self._value])
            if part is None:
                return
            begin, end = begin + part[0], begin + part[1]
        yield Match(
            start=base + begin,
            end=base + end,
            category=self._rule.category,
            rule_id=self._rule.id,
            score=score,
        )

    def score(self, candidate: regex.Match[str]) -> float:
        """The strongest of the signals: the pattern itself, words before it, a line to itself."""
        rule, text, begin = self._rule, candidate.string, candidate.start()
        score = rule.score
        if rule.alone is not None and _is_alone(text, *candidate.span()):
            score = max(score, rule.alone)
        if rule.context is not None and self._context is not None:
            first = max(0, begin - rule.context.chars - 1)
            near = text[first:begin].lower()
            if self._context.search(near, min(1, first)):
                score = max(score, rule.context.score)
        return score


def _is_alone(text: str, begin: int, end: int) -> bool:
    return text[begin - 1 : begin] in {"", "\n"} and text[end : end + 1] in {"", "\n"}


def _version(rules: Sequence[Rule]) -> str:
    content = "\n".join(
        f"{rule.id}\t{rule.category}\t{rule.score}\t{rule.pattern}" for rule in rules
    )
    return hashlib.sha256(content.encode()).hexdigest()[:12]
